"""Traces through the OpenTelemetry SDK: records of requests as spans, sent by a thread of the SDK's.

Spans are made at a request's end, from its record: until then nobody knows if it will be kept, and one that is not costs
nothing.
"""

import random
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from gateway import __version__
from gateway.config.telemetry import Traces
from gateway.telemetry.genai import content_attributes, genai_attributes, http_attributes
from gateway.telemetry.keeping import Kept, kept, sampled
from gateway.telemetry.record import Outcome, RequestRecord
from gateway.telemetry.trace_context import Parent
from gateway.telemetry.waterfall import Node, own_seconds, waterfall

CLOSE_S: Final = 5.0


class _Ids(IdGenerator):
    """The next server span's ids have been given away already; all others are random."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        taken, self.span_id = self.span_id, 0
        return taken or self._random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        return True


class Tracing:
    """One per gateway. `counts`: traces by the reason for which they were kept."""

    def __init__(self, settings: Traces, service: str, instance: str, processor: SpanProcessor) -> None:
        self._settings = settings
        self._ids = _Ids()
        told = {"service.name": service, "service.version": __version__, "service.instance.id": instance}
        self._provider = TracerProvider(
            ALWAYS_ON, Resource.create(told), shutdown_on_exit=False, id_generator=self._ids
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("sluice", __version__)
        self.counts = dict.fromkeys(Kept, 0)

    def begin(self, record: RequestRecord) -> None:
        record.span_id = f"{random.getrandbits(64) or 1:016x}"
        record.sampled = sampled(record.trace_id, record.parent, self._settings)

    def end(self, record: RequestRecord) -> bool:
        """Whether the trace was kept."""
        why = kept(record, self._settings.slow_s)
        if why is None:
            return False
        self.counts[why] += 1
        tree = waterfall(record)
        told = http_attributes(record) | genai_attributes(record)
        told |= {"sluice.kept": why.value, "sluice.gateway.seconds": own_seconds(tree)}
        if self._settings.capture_content:
            told |= content_attributes(record)
        self._emit(record, tree, told)
        return True

    def close(self) -> None:
        """Sends what has not been sent yet, for CLOSE_S at most: the SDK itself waits for a receiver that says nothing, batch by
        batch, for minutes.
        """
        closing = threading.Thread(target=self._provider.shutdown, name="spans-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _emit(self, record: RequestRecord, tree: Node, attributes: Mapping[str, Any]) -> None:
        wall = time.time_ns() - time.monotonic_ns()
        self._ids.trace_id, self._ids.span_id = int(record.trace_id, 16), int(record.span_id, 16)
        root = self._start(tree, _context(record.parent), wall, attributes, SpanKind.SERVER)
        if record.outcome is Outcome.ERROR:
            root.set_status(Status(StatusCode.ERROR, record.error))
        for moment in tree.events:
            root.add_event(moment.name, dict(moment.attributes), _ns(moment.at, wall))
        self._children(tree, root, wall)
        root.end(_ns(tree.end, wall))

    def _children(self, node: Node, span: Span, wall: int) -> None:
        context = set_span_in_context(span)
        for child in node.children:
            kind = SpanKind.CLIENT if child.name == "engine" else SpanKind.INTERNAL
            made = self._start(child, context, wall, child.attributes, kind)
            self._children(child, made, wall)
            made.end(_ns(child.end, wall))

    def _start(self, node: Node, context: Context, wall: int, attributes: Mapping[str, Any], kind: SpanKind) -> Span:
        return self._tracer.start_span(node.name, context, kind, dict(attributes), start_time=_ns(node.begin, wall))


def _context(parent: Parent | None) -> Context:
    if parent is None:
        return Context()
    state = TraceState.from_header([parent.state]) if parent.state else None
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    remote = SpanContext(
        int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags, trace_state=state
    )
    return set_span_in_context(NonRecordingSpan(remote), Context())


def _ns(at: float, wall: int) -> int:
    """`wall`: what must be added to the monotonic clock to get the time of day (ns)."""
    return int(at * 1e9) + wall

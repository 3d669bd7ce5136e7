"""W3C Trace Context: what a client says about the trace it is in, and what an engine is told. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACESTATE = re.compile(rb"[\x20-\x7e]{1,512}")
SAMPLED = 1
RANDOM_BITS = 56
"""Of a trace id, from its end: those that W3C's second level declares random."""


class Parent(NamedTuple):
    """The client's span: ids in hexadecimal, its decision to record the trace, and its `tracestate`."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def parent_of(headers: Iterable[tuple[bytes, bytes]]) -> Parent | None:
    """None where there is no `traceparent`, or none that is valid."""
    told = [value for name, value in headers if name == b"traceparent"]
    if len(told) != 1 or (found := _TRACEPARENT.fullmatch(told[0])) is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == b"ff" or (version == b"00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    state = b",".join(value for name, value in headers if name == b"tracestate")
    kept = state.decode() if _TRACESTATE.fullmatch(state) else ""
    return Parent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & SAMPLED), kept)


def headers_of(parent: Parent) -> dict[str, str]:
    """For whoever does the next part of the work."""
    told = {"traceparent": f"00-{parent.trace_id}-{parent.span_id}-{SAMPLED if parent.sampled else 0:02x}"}
    return told | ({"tracestate": parent.state} if parent.state else {})


def in_ratio(trace_id: str, ratio: float) -> bool:
    """The same answer for the same trace, whoever asks: its random bits are below the ratio's share of them."""
    return int(trace_id, 16) % (1 << RANDOM_BITS) < ratio * (1 << RANDOM_BITS)

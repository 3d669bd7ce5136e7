"""Begins and ends the records of requests, and hands them to whoever makes something of them."""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from gateway.errors import Overloaded, RateLimited, SluiceError, face_of
from gateway.telemetry.record import Outcome, RequestRecord
from gateway.telemetry.request_log import RequestLog
from gateway.telemetry.trace_context import Parent, headers_of, parent_of

GONE = 499

log = structlog.get_logger(__name__)


class Keeper(Protocol):
    """See Tracing."""

    def begin(self, record: RequestRecord) -> None: ...
    def end(self, record: RequestRecord) -> bool: ...


class Observer(Protocol):
    """Who makes metrics of a record; `kept`: its trace can be looked up."""

    def __call__(self, record: RequestRecord, *, kept: bool) -> None: ...


@dataclass
class Recorder:
    """One per gateway. `on_end` are told of every request that has ended, its words taken away, so that they may keep its record;
    they may neither block nor raise.
    """

    tracing: Keeper | None = None
    observe: Observer | None = None
    log: RequestLog | None = None
    on_end: list[Callable[[RequestRecord], None]] = field(default_factory=list)

    def begin(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> RequestRecord:
        """A request without a trace of its client's begins one, by the name of its own id."""
        record = RequestRecord(os.urandom(16).hex(), time.monotonic(), method)
        record.parent = parent_of(headers)
        record.trace_id = record.request_id if record.parent is None else record.parent.trace_id
        if self.tracing is not None:
            self.tracing.begin(record)
        return record

    def told_on(self, record: RequestRecord) -> dict[str, str] | None:
        """The headers by which an engine may join the trace: only of one that will be kept whatever happens."""
        if not record.sampled:
            return None
        state = record.parent.state if record.parent is not None else ""
        return headers_of(Parent(record.trace_id, record.span_id, sampled=True, state=state))

    def end(self, record: RequestRecord, status: int, failure: SluiceError | None, *, complete: bool) -> None:
        """`status` 0: the client was told none. `complete`: it got all of its answer, an error's included."""
        record.ended = time.monotonic()
        record.status = status or GONE
        record.outcome = outcome(record.status if complete else GONE, failure)
        if failure is not None:
            face = face_of(failure)
            record.error = face.code or face.type
        try:
            self._tell(record)
        except Exception:  # what is told about a request must not be what breaks it
            log.exception("request_not_recorded", request_id=record.request_id)

    def _tell(self, record: RequestRecord) -> None:
        kept = self._traced(record)
        if self.observe is not None:
            self.observe(record, kept=kept)
        if self.log is not None:
            self.log.write(record, kept=kept)
        record.body, record.decode = {}, None
        for tell in self.on_end:
            tell(record)

    def _traced(self, record: RequestRecord) -> bool:
        """Whether it is kept. A span that cannot be made costs the request neither its metrics nor its log line."""
        try:
            return self.tracing is not None and self.tracing.end(record)
        except Exception:
            log.exception("request_not_traced", request_id=record.request_id)
            return False


def outcome(status: int, failure: SluiceError | None) -> Outcome:
    """A stream that has begun has status 200 whatever becomes of it: its error goes before."""
    if isinstance(failure, RateLimited | Overloaded):
        return Outcome.REFUSED
    if failure is not None:
        status = face_of(failure).status
    if status == GONE:
        return Outcome.GONE
    if status >= 500:
        return Outcome.ERROR
    return Outcome.INVALID if status >= 400 else Outcome.OK

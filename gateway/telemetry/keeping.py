"""Which requests' traces are kept: some by lot, at the start; and at the end whatever went wrong or took long. Pure."""

from enum import StrEnum

from gateway.config.telemetry import Traces
from gateway.telemetry.record import Outcome, RequestRecord
from gateway.telemetry.trace_context import Parent, in_ratio


class Kept(StrEnum):
    """Why; the first that applies. `SAMPLED`: by the client's decision, or else by the ratio."""

    ERROR = "error"
    GUARD = "guard"
    FAILOVER = "failover"
    SLOW = "slow"
    SAMPLED = "sampled"


class Lost(StrEnum):
    """Why a span of a kept trace never arrived: there was no room for it to wait, or the receiver did not take it."""

    QUEUE = "queue"
    RECEIVER = "receiver"


def sampled(trace_id: str, parent: Parent | None, settings: Traces) -> bool:
    """What is decided at the start, and told to engines."""
    if parent is not None and settings.parent_based:
        return parent.sampled
    return in_ratio(trace_id, settings.ratio)


def kept(record: RequestRecord, slow_s: float | None) -> Kept | None:
    """Of an ended request; None: nobody will ask. A refusal for want of room is no error: in an overload there are thousands."""
    if record.outcome is Outcome.ERROR:
        return Kept.ERROR
    if record.guard_refused:
        return Kept.GUARD
    if record.totals.failovers:
        return Kept.FAILOVER
    if slow_s is not None and record.seconds > slow_s:
        return Kept.SLOW
    return Kept.SAMPLED if record.sampled else None

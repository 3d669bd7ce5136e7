"""Records of requests that never were."""

from typing import Any

from gateway.pool.leg import Leg
from gateway.telemetry.record import Outcome, RequestRecord

TRACE = "0af7651916cd43dd8448eb211c80319c"


def leg(engine: str = "one", attempt: int = 1, begin: float = 101.0, tokens: int = 10, **more: Any) -> Leg:
    """A second from question to first token, a tenth for each further one, and no pause at the end."""
    made = Leg(engine, attempt, 5, [7] * tokens, 0, asked=begin - 0.01, sent=begin)
    made.queued, made.scheduled, made.first, made.heard = begin + 0.1, begin + 0.2, begin + 1, begin + 1.001
    made.ended = made.last = begin + 1 + 0.1 * (tokens - 1)
    made.end = "stop"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def record(*legs: Leg, **more: Any) -> RequestRecord:
    """Of a chat with the model `m` from the tier `standard`; it begins at 100 s."""
    made = RequestRecord(TRACE, 100.0, "POST", "/v1/chat/completions", trace_id=TRACE, span_id="b7ad6b7169203331")
    made.model, made.tier, made.tenant, made.key, made.priority = "m", "standard", "acme", "abcdefgh", "batch"
    made.marks = [("auth", 100.0), ("receive", 100.1), ("validate", 100.3), ("admission", 100.4)]
    made.marks += [("render" if legs else "finish", 100.9)]
    made.legs, made.status, made.outcome = legs, 200, Outcome.OK
    made.ended = max((one.ended or one.sent for one in legs), default=100.95) + 0.05
    for name, value in more.items():
        setattr(made, name, value)
    return made

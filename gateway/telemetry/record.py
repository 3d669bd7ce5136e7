"""What happened to one request and when: written down as it happens, for a few hundred nanoseconds each; spans, metrics and the
log line are made from it at the end. Times are seconds of `time.monotonic`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from gateway.telemetry.trace_context import Parent


class Outcome(StrEnum):
    """How a request ended. `refused` for want of room or budget, `invalid` for a fault of its own, `gone`: its client is."""

    OK = "ok"
    REFUSED = "refused"
    INVALID = "invalid"
    ERROR = "error"
    GONE = "gone"


class Reason(Protocol):
    """Why an engine was chosen, put into words only for whoever asks."""

    @property
    def reason(self) -> str: ...


class Leg(Protocol):
    """One attempt at a request, or at one of its choices, on one engine; see gateway/pool/leg.py."""

    @property
    def engine(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def choice(self) -> Reason | None: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def had(self) -> int: ...
    @property
    def asked(self) -> float: ...
    @property
    def found(self) -> float: ...
    @property
    def sent(self) -> float: ...
    @property
    def queued(self) -> float | None: ...
    @property
    def scheduled(self) -> float | None: ...
    @property
    def first(self) -> float | None: ...
    @property
    def heard(self) -> float | None: ...
    @property
    def last(self) -> float | None: ...
    @property
    def ended(self) -> float | None: ...
    @property
    def end(self) -> str: ...
    @property
    def preempted(self) -> int: ...
    @property
    def hedge(self) -> bool: ...


class Totals(NamedTuple):
    """Of all attempts at a request; each choice's prompt counts once, however many engines were asked. `first_token`: when the
    gateway had it.
    """

    first_token: float | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    failovers: int = 0


@dataclass(slots=True)
class RequestRecord:
    """`marks`: (stage, when it began); each ends where the next begins, the last with the request. `span_id` is the server span's,
    `sampled` what was decided at the start. `error` is a code of the error table's. `guard`: what the guard did to it, or the
    level it is under; `guard_refused`: that it was refused for it. `body` is the admitted one, for the parameters that a span
    tells; `decode` turns tokens of its model into text. `waited`: when the client was waited for last, to read what it is sent.
    """

    request_id: str
    begun: float
    method: str = ""
    path: str = ""
    scheme: str = "http"
    parent: Parent | None = None
    trace_id: str = ""
    span_id: str = ""
    sampled: bool = False
    key: str = ""
    tenant: str = ""
    tier: str = ""
    model: str = ""
    priority: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    decode: Callable[[Sequence[int]], str] | None = None
    marks: list[tuple[str, float]] = field(default_factory=list)
    notes: list[tuple[str, float, Mapping[str, Any]]] = field(default_factory=list)
    legs: Sequence[Leg] = ()
    guard: str = ""
    guard_refused: bool = False
    status: int = 0
    error: str = ""
    outcome: Outcome = Outcome.OK
    ended: float = 0.0
    waited: tuple[float, float] = (0.0, 0.0)
    _totals: Totals | None = None

    def mark(self, stage: str) -> None:
        """A stage begins, and the one before it has ended."""
        self.marks.append((stage, time.monotonic()))

    def note(self, name: str, **attributes: Any) -> None:
        """Something happened that is worth an event in the trace."""
        self.notes.append((name, time.monotonic(), attributes))

    @property
    def seconds(self) -> float:
        return self.ended - self.begun

    @property
    def totals(self) -> Totals:
        """Added up once the request has ended, for all who ask then."""
        if self._totals is not None:
            return self._totals
        totals = _totals(self.legs)
        if self.ended:
            self._totals = totals
        return totals


def _totals(legs: Sequence[Leg]) -> Totals:
    """Attempts at one choice share its journal."""
    if len(legs) == 1:
        (leg,) = legs
        return Totals(leg.heard, leg.prompt_tokens, leg.cached_tokens, len(leg.tokens), int(leg.end == "lost"))
    firsts = [leg for leg in legs if leg.attempt == 1]
    return Totals(
        min((leg.heard for leg in legs if leg.heard is not None), default=None),
        sum(leg.prompt_tokens for leg in firsts),
        sum(leg.cached_tokens for leg in firsts),
        sum(len(journal) for journal in {id(leg.tokens): leg.tokens for leg in legs}.values()),
        sum(leg.end == "lost" for leg in legs),
    )

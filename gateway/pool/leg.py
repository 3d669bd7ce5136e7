"""One attempt at a request on one engine: when it got how far. Times are seconds of this process's `time.monotonic`; what an
engine says of its own has been put on that clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

QUEUED, SCHEDULED, PREEMPTED = 1, 2, 3
"""vLLM's EngineCoreEventType."""

End = Literal["", "stop", "length", "error", "abort", "repetition", "lost", "unsent", "withdrawn"]
"""vLLM's finish reasons, and what the pool adds: the engine was lost, never got it, or its rival was faster. Empty: under way."""


class Reason(Protocol):
    @property
    def reason(self) -> str: ...


@dataclass(slots=True)
class Leg:
    """`asked`: of the pool; `found`: engines to choose from; `sent`: to the chosen one. `queued` and `scheduled` are the engine's
    own, if its statistics are on; `first` and `last` its steps with the first and last token, `heard` the first one's arrival
    here. `tokens` is the stream's journal, of which `had` were there before.
    """

    engine: str
    attempt: int
    prompt_tokens: int
    tokens: list[int]
    had: int
    asked: float
    choice: Reason | None = None
    found: float = 0.0
    hedge: bool = False
    sent: float = 0.0
    queued: float | None = None
    scheduled: float | None = None
    first: float | None = None
    heard: float | None = None
    last: float | None = None
    ended: float | None = None
    end: str = ""
    cached_tokens: int = 0
    preempted: int = 0

    def began(self, at: float, now: float, cached_tokens: int) -> None:
        self.first, self.heard, self.cached_tokens = at, now, cached_tokens

    def noted(self, events: Iterable[Any]) -> None:
        """vLLM's EngineCoreEvents, on this clock already. A request that is preempted is scheduled again; the first time counts."""
        for event in events:
            if event.type == QUEUED:
                self.queued = event.timestamp
            elif event.type == SCHEDULED:
                self.scheduled = self.scheduled or event.timestamp
            elif event.type == PREEMPTED:
                self.preempted += 1

    def over(self, end: str, now: float, last: float | None = None) -> None:
        """Only once: what comes later tells of other attempts."""
        if self.ended is None:
            self.end, self.ended = end, now
            if self.first is not None:
                self.last = max(self.first, min(now, now if last is None else last))

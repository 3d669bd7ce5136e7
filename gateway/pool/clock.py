"""Where an engine's monotonic clock stands beside ours. Pure."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

SAMPLES = 30
"""The best of so many is used: half a minute of heartbeats, in which no two clocks drift apart by a millisecond."""


class Sample(NamedTuple):
    """`took`: from question to answer. The engine looked at its clock some time in between."""

    took: float
    offset: float


@dataclass(slots=True)
class Clock:
    """`offset` is what must be added to the engine's time to get ours; None before the first answer. It is wrong by at most half
    the time that the quickest answer took (Cristian's algorithm). Seconds.
    """

    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    offset: float | None = None

    def observe(self, asked: float, engine: float, answered: float) -> None:
        """`asked` and `answered` on our clock, `engine` on its own."""
        self.samples.append(Sample(answered - asked, (asked + answered) / 2 - engine))
        self.offset = min(self.samples).offset

"""How fast an engine steps, and whether it is many times slower than its peers. Pure."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

STEPS, LEAST_STEPS = 32, 8
FRESH_S = 60.0
UNREMARKABLE_S = 0.05


@dataclass(slots=True)
class Pace:
    """Times (s) between messages of an engine that had work all the while: its last steps."""

    last: float = 0.0
    busy: bool = False
    took: deque[float] = field(default_factory=lambda: deque(maxlen=STEPS))

    def step(self, now: float, *, busy: bool) -> float | None:
        """A message came; `busy`: work is left. Returns the time since the one before, None after a pause."""
        took = now - self.last if self.busy else None
        if took is not None:
            self.took.append(took)
        self.last, self.busy = now, busy
        return took

    def forget(self) -> None:
        """Only what is to come counts."""
        self.took.clear()

    def step_s(self, now: float) -> float | None:
        """Mean of the last steps but the longest, which may have been somebody's long prompt. None: too few, or old news."""
        if len(self.took) < LEAST_STEPS or now - self.last > FRESH_S:
            return None
        return (sum(self.took) - max(self.took)) / (len(self.took) - 1)


def is_outlier(pace: float | None, peers: Iterable[float | None], factor: float) -> bool:
    """Slower than `factor` times the median of its peers, and slow enough to matter."""
    others = [peer for peer in peers if peer is not None]
    return pace is not None and bool(others) and pace > max(UNREMARKABLE_S, factor * median(others))

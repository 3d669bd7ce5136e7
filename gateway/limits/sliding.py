"""The arithmetic of a sliding window made of two counters, as the `limits` package keeps them in memory and in Redis.

Requests of the window before count by the part of it that still overlaps: `previous * previous_s / window_s + current`.
In any window that is aligned with the counters at most `limit` pass; in any other, if all of the window before came at
its very end, almost twice as many.
"""

import math
from typing import Final, NamedTuple

MARGIN_S: Final = 0.001
"""A window that is exactly full frees a place a moment later, not now."""


class Counters(NamedTuple):
    """`previous_s`: seconds until the window before is forgotten; `current_s`: until this one is, a window later."""

    previous: int
    previous_s: float
    current: int
    current_s: float

    def remaining(self, limit: int, window_s: float) -> int:
        return max(0, limit - math.floor(self._weighted(window_s)))

    def free_in(self, limit: int, window_s: float) -> float:
        """Seconds until one more request passes."""
        if self._weighted(window_s) < limit:
            return 0.0
        if self.current < limit:
            return MARGIN_S + self.previous_s - (limit - self.current) * window_s / self.previous
        return MARGIN_S + max(0.0, self.current_s - window_s) + window_s * (1 - limit / self.current)

    def full_in(self) -> float:
        """Seconds until every request is forgotten."""
        return self.current_s if self.current else self.previous_s if self.previous else 0.0

    def _weighted(self, window_s: float) -> float:
        return self.previous * self.previous_s / window_s + self.current

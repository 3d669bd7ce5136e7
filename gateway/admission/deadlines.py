"""When requests that have not begun are given up."""

from __future__ import annotations

import heapq
from itertools import count
from typing import TYPE_CHECKING

from gateway.admission.ledger import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.admission.ledger import Entry

STALE = 64
BEFORE = (State.HELD, State.WAITING)


class Deadlines:
    """Every operation is O(log n), amortized over lazily dropped places. Seconds of the queue's clock."""

    def __init__(self) -> None:
        self._timers: list[tuple[float, int, Entry]] = []
        self._turn = count()
        self._most = STALE

    def note(self, entry: Entry, at: float) -> None:
        heapq.heappush(self._timers, (at, next(self._turn), entry))
        if len(self._timers) > self._most:
            self._timers = [timer for timer in self._timers if timer[2].state in BEFORE]
            heapq.heapify(self._timers)
            self._most = STALE + 2 * len(self._timers)

    def next(self) -> float | None:
        while self._timers and self._timers[0][2].state not in BEFORE:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def passed(self, now: float) -> Iterator[Entry]:
        """Those who have not begun; each is forgotten, and may be noted again for later."""
        while (at := self.next()) is not None and at <= now:
            yield heapq.heappop(self._timers)[2]

"""Start-time fair queueing: whose turn it is among lanes of different weight.

Each lane has a start tag. The lane with the least tag goes next; the clock `virtual` takes that tag, and the lane's own
tag moves on by work / weight. A lane that comes back from idleness starts at the clock, unless it still owes. So a lane
that always has something waiting gets work in proportion to its weight, one that idles saves up nothing, and no lane's
tag lies before the clock of its arrival: nobody is overtaken for long. For lanes f and g that both wait throughout an
interval, whatever the capacity does:

    |W_f / w_f - W_g / w_g| ≤ L_f / w_f + L_g / w_g        (W: work started, L: largest request)

(Goyal, Vin and Cheng, "Start-time fair queueing", 1996). The tag that orders a request does not depend on its own
length, only on what the lane was charged before. That is what makes the rule fit completions: their length is known at
the end, and `settle` moves the lane's tag by the difference, so shares converge in true work.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

SCAN = 8
STALE = 64


class Lane:
    """What takes turns. `stamp` names its valid place in the order; 0: it has nothing waiting."""

    __slots__ = ("floor", "stamp", "start", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.start = 0.0
        self.floor = 0.0
        self.stamp = 0


L = TypeVar("L", bound=Lane)


class FairOrder(Generic[L]):
    """The lanes with something waiting, by start tag. Every operation is O(log n), amortized over lazily dropped places."""

    def __init__(self) -> None:
        self.virtual = 0.0
        self.weight = 0.0
        self.waiting = 0
        self._places: list[tuple[float, int, L]] = []
        self._turn = 0

    def join(self, lane: L) -> None:
        """The lane has something waiting from now on."""
        lane.floor = self.virtual
        lane.start = max(lane.start, self.virtual)
        self.weight += lane.weight
        self.waiting += 1
        self._place(lane)

    def leave(self, lane: L) -> None:
        """The lane has nothing waiting any more; its tag stays, and with it what it owes."""
        lane.stamp = 0
        self.waiting -= 1
        self.weight = self.weight - lane.weight if self.waiting else 0.0

    def charge(self, lane: L, work: float) -> None:
        """The lane starts a request. A lane that does not wait may start one too, if nobody does."""
        start = max(lane.start, self.virtual) if not lane.stamp else lane.start
        self.virtual = max(self.virtual, start)
        lane.start = start + work / lane.weight
        if lane.stamp:
            self._place(lane)

    def settle(self, lane: L, difference: float) -> None:
        """What was charged turns out to be more (positive) or less by `difference`.

        What comes back from before the lane's last idleness cannot move it before the clock of its return.
        """
        lane.start += difference / lane.weight
        if lane.stamp:
            lane.start = max(lane.start, lane.floor)
            self._place(lane)

    def first(self) -> L | None:
        while self._places:
            _, stamp, lane = self._places[0]
            if stamp == lane.stamp:
                return lane
            heapq.heappop(self._places)
        return None

    def first_that(self, suits: Callable[[L], bool]) -> L | None:
        """The first lane that suits, looked for among the first SCAN."""
        aside: list[tuple[float, int, L]] = []
        found = None
        while len(aside) < SCAN and (lane := self.first()) is not None:
            if suits(lane):
                found = lane
                break
            aside.append(heapq.heappop(self._places))
        for place in aside:
            heapq.heappush(self._places, place)
        return found

    def lanes(self) -> list[L]:
        """All of them in their order. O(n log n): for few lanes, or for a report."""
        return [lane for _, stamp, lane in sorted(self._places) if stamp == lane.stamp]

    def _place(self, lane: L) -> None:
        self._turn += 1
        lane.stamp = self._turn
        heapq.heappush(self._places, (lane.start, lane.stamp, lane))
        if len(self._places) > STALE + 2 * self.waiting:
            self._places = [place for place in self._places if place[1] == place[2].stamp]
            heapq.heapify(self._places)

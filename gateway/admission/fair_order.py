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

from typing import TypeVar

from gateway.admission.ranks import Ranks


class Lane:
    """What takes turns."""

    __slots__ = ("floor", "start", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.start = 0.0
        self.floor = 0.0


L = TypeVar("L", bound=Lane)


class FairOrder(Ranks[L]):
    """The lanes with something waiting, by start tag."""

    def __init__(self) -> None:
        super().__init__()
        self.virtual = 0.0
        self.weight = 0.0

    def join(self, lane: L) -> None:
        """The lane has something waiting from now on."""
        lane.floor = self.virtual
        lane.start = max(lane.start, self.virtual)
        self.weight += lane.weight
        self.place(lane, lane.start)

    def leave(self, lane: L) -> None:
        """The lane has nothing waiting any more; its tag stays, and with it what it owes."""
        self.drop(lane)
        self.weight = self.weight - lane.weight if len(self) else 0.0

    def charge(self, lane: L, work: float) -> None:
        """The lane starts a request. A lane that does not wait may start one too, if nobody does."""
        start = lane.start if lane in self else max(lane.start, self.virtual)
        self.virtual = max(self.virtual, start)
        lane.start = start + work / lane.weight
        if lane in self:
            self.place(lane, lane.start)

    def settle(self, lane: L, difference: float) -> None:
        """What was charged turns out to be more (positive) or less by `difference`.

        What comes back from before the lane's last idleness cannot move it before the clock of its return.
        """
        lane.start += difference / lane.weight
        if lane in self:
            lane.start = max(lane.start, lane.floor)
            self.place(lane, lane.start)

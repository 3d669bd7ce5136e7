"""The templates a subject uses most, and how much changes in each of them: Space-Saving with a sketch beside each count.

Metwally et al. 2005: with K places, every template that makes up more than 1/K of the requests is among them, and its
count is too high by no more than the smallest count kept. Merging adds counts and keeps the K highest.
"""

from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np

from gateway.guard import distinct

PLACES: Final = 24
PRECISION: Final = 6


@dataclass(slots=True)
class Use:
    """`fresh` counts different whole texts under the template, to within 13 %."""

    count: float = 0.0
    over: float = 0.0
    fresh: distinct.Registers = field(default_factory=lambda: distinct.empty(PRECISION))


@dataclass(slots=True)
class Templates:
    """`floor`: the smallest count when it was last looked for; `lowest`: those that had it."""

    uses: dict[int, Use] = field(default_factory=dict)
    floor: float = 0.0
    lowest: list[int] = field(default_factory=list)

    def add(self, template: int, whole: int) -> None:
        use = self.uses.get(template)
        if use is None:
            if len(self.uses) < PLACES:
                use = Use()
            else:
                use = self.uses.pop(self._least())
                use.over = use.count
                use.fresh.fill(0)
            self.uses[template] = use
        use.count += 1
        distinct.add(use.fresh, whole)

    def _least(self) -> int:
        """Counts only rise: who still has the smallest one is the least."""
        while True:
            while self.lowest:
                template = self.lowest.pop()
                use = self.uses.get(template)
                if use is not None and use.count == self.floor:
                    return template
            self.floor = min(use.count for use in self.uses.values())
            self.lowest = [template for template, use in reversed(self.uses.items()) if use.count == self.floor]

    def merge(self, other: Self) -> None:
        for template, theirs in other.uses.items():
            ours = self.uses.setdefault(template, Use())
            ours.count += theirs.count
            ours.over += theirs.over
            np.maximum(ours.fresh, theirs.fresh, out=ours.fresh)
        kept = sorted(self.uses, key=lambda each: -self.uses[each].count)[:PLACES]
        self.uses = {template: self.uses[template] for template in kept}
        self.lowest.clear()

    def harvest(self) -> tuple[float, float]:
        """(requests, novelty) of the template with the most different texts in it; novelty is in [0, 1]."""
        best, novelty = 0.0, 0.0
        for use in self.uses.values():
            sure = use.count - use.over
            if sure < 8:
                continue
            fresh = min(distinct.count(use.fresh), sure)
            if fresh > best * novelty:
                best, novelty = sure, fresh / sure
        return best, novelty

"""How evenly this gateway has spread its work lately.

Backlog alone cannot tell: on an idle service it is 0 everywhere, and every request would follow its prefix to the same replica
until that one is slow. Here each token of work sent to a replica is remembered, fading with a half-life, and the price of a
replica is its remembered load over the mean, both counted as if the request at hand, and TRIFLE more, had gone there.

A gateway balances what it sent itself. If every gateway does, the sum is balanced, without a word between them and without
all of them rushing to the one replica that the last report showed idle.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

HALF_LIFE_S = 300.0
"""Long against a burst, short against the hours in which what users want changes. 60 and 1800 measure alike."""
TRIFLE = 4096.0
"""Tokens, a second of a small accelerator's work: a difference below it is no imbalance. Without it a session's first short
turn would price it out of its own replica on a service that has hardly begun to work.
"""
_REBASE = 64.0


class Shares(NamedTuple):
    """Prices that are not worked out one by one: (load + more) / (mean load + more) of the replica at a place, where `more` is
    the request's tokens and TRIFLE, and `rate` is 1 / (mean load + more).
    """

    loads: list[float]
    more: float
    rate: float

    def price(self, place: int) -> float:
        return (self.loads[place] + self.more) * self.rate


class RecentWork:
    """Work is kept multiplied by 2^(time/half-life), so that fading costs nothing until it is scaled back now and then."""

    def __init__(self, half_life_s: float = HALF_LIFE_S) -> None:
        self._half_life_s = half_life_s
        self._since = -math.inf
        self._work: dict[str, float] = {}

    def join(self, engine_id: str) -> None:
        """A newcomer starts at the mean: at 0 it would be given everything until it had caught up."""
        known = self._work.values()
        self._work[engine_id] = sum(known) / len(known) if known else 0.0

    def shares(self, engine_ids: Sequence[str], tokens: float, now: float) -> Shares:
        """Of a request of so many tokens; the price is 1 for all while there is no load. Raises KeyError for a stranger."""
        more = (tokens + TRIFLE) * self._growth(now)
        loads = list(map(self._work.__getitem__, engine_ids))
        return Shares(loads, more, 1.0 / (sum(loads) / len(loads) + more))

    def add(self, engine_id: str, tokens: float, now: float, away: Sequence[str] = ()) -> None:
        """Those `away` could not be chosen and count as if they had had their share: back again, they have nothing to catch up."""
        work = tokens * self._growth(now)
        self._work[engine_id] += work
        if away:
            share = work / (len(self._work) - len(away))
            for each in away:
                self._work[each] += share

    def leave(self, engine_id: str) -> None:
        del self._work[engine_id]

    def _growth(self, now: float) -> float:
        halvings = (now - self._since) / self._half_life_s
        if halvings > _REBASE:
            shrink = 2.0**-halvings if halvings < 2 * _REBASE else 0.0
            self._work = {engine_id: work * shrink for engine_id, work in self._work.items()}
            self._since, halvings = now, 0.0
        return math.pow(2.0, halvings)

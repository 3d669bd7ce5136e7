"""How ours compares with the best of all others at equal hours and at equal misses: their Pareto frontier, joined by lines.

At equal hours and at equal misses somebody must be there to compare with: where nobody is as cheap, or nobody as sure, that half of
the bar is not passed.
"""

from collections.abc import Iterable
from itertools import pairwise

import msgspec

SAVING, MISSES, ORACLE = 0.85, 0.5, 1.3
Point = tuple[float, float]
"""Replica-hours, share of requests that were late."""


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hours`: ours over theirs at our misses (None: none misses as little). `misses`: ours over theirs at our replica-hours
    (None: none is as cheap). `oracle`: our replica-hours over its, when it attains what was asked for; `oracle_as_sure`: when it
    attains what we did.
    """

    hours: float | None
    misses: float | None
    oracle: float
    oracle_as_sure: float

    @property
    def held(self) -> bool:
        cheaper = self.hours is not None and self.hours <= SAVING
        surer = self.misses is not None and self.misses <= MISSES
        return (cheaper or surer) and max(self.oracle, self.oracle_as_sure) <= ORACLE


def compare(ours: Point, others: Iterable[Point], oracle: float, oracle_as_sure: float) -> Verdict:
    """The last two are replica-hours."""
    front, (hours, missed) = frontier(others), ours
    theirs = hours_at(front, missed)
    late = misses_at(front, hours)
    misses = None
    if late is not None:
        misses = missed / late if late else float(missed > 0) + 1.0
    return Verdict(None if theirs is None else hours / theirs, misses, hours / oracle, hours / oracle_as_sure)


def frontier(points: Iterable[Point]) -> list[Point]:
    """Of those that no other beats in both; hours rise, misses fall."""
    found: list[Point] = []
    for hours, missed in sorted(points):
        if not found or missed < found[-1][1]:
            found.append((hours, missed))
    return found


def misses_at(front: list[Point], hours: float) -> float | None:
    if not front or hours < front[0][0]:
        return None
    for (h0, m0), (h1, m1) in pairwise(front):
        if hours < h1:
            return m0 + (m1 - m0) * (hours - h0) / (h1 - h0)
    return front[-1][1]


def hours_at(front: list[Point], missed: float) -> float | None:
    if not front or missed < front[-1][1]:
        return None
    for (h0, m0), (h1, m1) in pairwise(front):
        if missed > m1:
            return h0 if missed >= m0 else h0 + (h1 - h0) * (m0 - missed) / (m0 - m1)
    return front[-1][0]

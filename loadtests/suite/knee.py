"""Where a ramp bends: steps of load → throughput at each → the knee. Pure."""

from collections.abc import Sequence

import msgspec

from loadtests.suite.record import Record
from loadtests.suite.timeline import windows

FLAT = 0.2
FLAT_STEPS = 3
SETTLE = 0.3
"""Share of a step at its begin that is left out: the load of the step before still ends there."""


class Step(msgspec.Struct, frozen=True):
    """`users` from `begin` to `end` (Unix time)."""

    users: int
    begin: float
    end: float


class Point(msgspec.Struct, frozen=True):
    users: int
    tokens_per_s: float
    ttft_p99_ms: float


def points(records: Sequence[Record], steps: Sequence[Step]) -> list[Point]:
    """One for each step that has ended."""
    found = []
    for step in steps:
        begin = step.begin + SETTLE * (step.end - step.begin)
        (seen,) = windows(records, begin, step.end, step.end - begin - 1e-6)
        found.append(Point(step.users, seen.tokens_per_s, seen.ttft_p99_ms))
    return found


def whole(records: Sequence[Record], steps: Sequence[Step], now: float, late_s: float = 0.0) -> list[Step]:
    """Those of `steps` whose streams have their records by `now`, if none runs longer than the longest so far, and records are on
    their way for at most `late_s`.
    """
    longest = max((record.e2e_s - record.sent_s for record in records), default=0.0)
    return [step for step in steps if step.end + longest + late_s <= now]


def saturated(found: Sequence[Point]) -> bool:
    """A user of the last steps has brought less than FLAT of what a user brought on average before them."""
    if len(found) <= FLAT_STEPS + 1:
        return False
    before, last = found[:-FLAT_STEPS], found[-FLAT_STEPS:]
    best = max(before, key=lambda point: point.tokens_per_s)
    added = max(point.tokens_per_s for point in last) - best.tokens_per_s
    return added / (last[-1].users - before[-1].users) < FLAT * best.tokens_per_s / best.users


def knee(found: Sequence[Point]) -> Point | None:
    """The point furthest above the straight line from the first to the highest throughput: beyond it, more load buys less than it
    did on average (Satopää et al., "Finding a Kneedle in a Haystack", 2011). None of a curve that has not become flat.
    """
    if not saturated(found):
        return None
    top = max(range(len(found)), key=lambda place: found[place].tokens_per_s)
    rising = found[: top + 1]
    if len(rising) < 3:
        return found[top]
    first, last = rising[0], rising[-1]
    width, height = last.users - first.users, last.tokens_per_s - first.tokens_per_s

    def above(point: Point) -> float:
        return (point.tokens_per_s - first.tokens_per_s) / height - (point.users - first.users) / width

    return max(rising, key=above)

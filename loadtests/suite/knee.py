"""Where a ramp bends: steps of load → throughput at each → the knee. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import msgspec

from loadtests.arithmetic import percentile
from loadtests.suite.record import Outcome, Record

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


def points(records: Iterable[Record], steps: Sequence[Step]) -> list[Point]:
    """One for each step that has ended; `steps` in their order. Each record is read once, however many steps there are."""
    spans = [(step.begin + SETTLE * (step.end - step.begin), step.end) for step in steps]
    begins, ends = [begin for begin, _ in spans], [end for _, end in spans]
    tokens = [0.0] * len(spans)
    ttft_ms: list[list[float]] = [[] for _ in spans]
    for record in records:
        start, stop = record.at + (record.ttft_s or 0.0), record.ended
        for place in range(bisect_right(ends, start), bisect_left(begins, stop)):
            overlap = min(stop, ends[place]) - max(start, begins[place])
            tokens[place] += record.tokens * overlap / max(stop - start, 1e-6)
        place = bisect_right(begins, stop) - 1
        if (
            place >= 0
            and stop < ends[place]
            and record.judged
            and record.outcome is Outcome.RIGHT
            and record.ttft_s is not None
        ):
            ttft_ms[place].append(record.ttft_s * 1e3)
    return [
        Point(step.users, amount / (end - begin), percentile(seen, 0.99))
        for step, (begin, end), amount, seen in zip(steps, spans, tokens, ttft_ms, strict=True)
    ]


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

"""Percentiles and ratios of pairs: pure functions of lists of numbers."""

import math
import statistics
from collections.abc import Sequence

import msgspec


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A median with the range around it."""

    median: float
    low: float
    high: float
    count: int


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` (0..1) of all values do not exceed. NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    rank = -(-len(ordered) * round(share * 10_000) // 10_000)
    return ordered[max(0, rank - 1)]


def spread(values: Sequence[float]) -> Spread:
    """Raises StatisticsError of nothing."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def paired_ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """ours[i] / theirs[i]. Two measurements of one pair lie next to each other in time, so drift cancels."""
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def paired_differences(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Where the median of what was drawn from lies, by order statistics: no assumption about its shape, and the two outermost
    values where there are too few for the confidence.
    """
    ordered, count = sorted(values), len(values)
    outside, rank = 0.0, 0
    while rank < count // 2 and (outside := outside + math.comb(count, rank) / 2**count) <= (1 - confidence) / 2:
        rank += 1
    rank = max(0, rank - 1)
    return ordered[rank], ordered[count - 1 - rank]

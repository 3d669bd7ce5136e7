"""What a replay's key-days amount to. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from loadtests.evaluation.replay import KeyDay
from loadtests.proportion import interval


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A counted share with its 95 % bounds (Clopper and Pearson). Days of one key are not independent: `keys` tells how many."""

    hits: int
    of: int
    keys: int
    low: float
    high: float

    @classmethod
    def counted(cls, flags: Iterable[tuple[str, bool]]) -> "Share":
        """(key, hit) of each key-day."""
        listed = list(flags)
        hits = sum(hit for _, hit in listed)
        return cls(hits, len(listed), len({key for key, _ in listed}), *interval(hits, len(listed)))

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else 0.0


def by_family(days: Iterable[KeyDay]) -> dict[str, list[KeyDay]]:
    found: defaultdict[str, list[KeyDay]] = defaultdict(list)
    for day in days:
        found[day.family].append(day)
    return dict(found)


def alarms(days: Iterable[KeyDay], level: int) -> Share:
    """Key-days that reached the level."""
    return Share.counted((day.key, day.level >= level) for day in days)


def found(days: Iterable[KeyDay], level: int) -> Share:
    """Keys that reached the level on any of their days."""
    highest: defaultdict[str, int] = defaultdict(int)
    for day in days:
        highest[day.key] = max(highest[day.key], day.level)
    return Share.counted((key, top >= level) for key, top in highest.items())


def auroc(honest: Sequence[float], attacks: Sequence[float]) -> float:
    """The chance that an attacker's score exceeds an honest one's; ties count half. NaN if either is empty."""
    if not honest or not attacks:
        return float("nan")
    low = np.sort(np.asarray(honest))
    scores = np.asarray(attacks)
    below, upto = np.searchsorted(low, scores, "left"), np.searchsorted(low, scores, "right")
    return float((below + upto).mean() / (2 * len(low)))


def roc(honest: Sequence[float], attacks: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False alarm rate and share found at every threshold, both rising."""
    thresholds = np.unique(np.concatenate([honest, attacks]))[::-1]
    low, high = np.sort(honest), np.sort(attacks)
    return (
        np.concatenate([[0.0], 1 - np.searchsorted(low, thresholds, "left") / len(low)]),
        np.concatenate([[0.0], 1 - np.searchsorted(high, thresholds, "left") / len(high)]),
    )


def leaked(days: Iterable[KeyDay], level: str) -> float:
    """Share of the harvest's tokens that came before the keys reached the level."""
    listed = list(days)
    harvested = sum(day.harvested for day in listed)
    return sum(day.before.get(level, 0) for day in listed) / harvested if harvested else 0.0


def reasons(days: Iterable[KeyDay]) -> Mapping[str, int]:
    """How often each feature was among the top reasons of key-days that reached any level."""
    counts: defaultdict[str, int] = defaultdict(int)
    for day in days:
        if day.level:
            for reason in day.reasons:
                counts[reason] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))

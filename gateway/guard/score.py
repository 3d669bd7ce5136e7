"""The score: points for what is unusual, the strongest of each family of evidence, added up. Pure.

A day's score alone misses who stays just below it for weeks. So each key has a CUSUM as well (Page 1954): at the end of a
day S ← max(0, FADES · S + score - drift), and S counts towards the evidence of the days that follow.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.guard.calibration import Calibration
from gateway.guard.features import FAMILIES, Features
from gateway.guard.verdict import Level, Reason

TOP: Final = 3
INDEPENDENT: Final = 2
"""From VERIFY on, so many families of evidence must speak for it."""
SPEAKS: Final = 0.5
BURST: Final = 30
"""Edits of one text within BURST_S: twice the most that any honest key of the train and calibration parts has sent."""
FADES: Final = 0.7


class Evidence(NamedTuple):
    score: float
    reasons: tuple[Reason, ...]
    families: int


def points(features: Features, calibration: Calibration) -> tuple[float, list[tuple[float, str]]]:
    """The sum, and each family's strongest feature with its points."""
    parts = []
    for names in FAMILIES.values():
        best = max(
            (calibration.weights.get(name, 0.0) * calibration.surprise(name, getattr(features, name)), name)
            for name in names
        )
        parts.append(best)
    return sum(part for part, _ in parts), parts


def evidence(features: Features, carried: float, calibration: Calibration) -> Evidence:
    """`carried` is the key's CUSUM of earlier days."""
    total, parts = points(features, calibration)
    parts.sort(reverse=True)
    reasons = [
        Reason(name, round(part, 3), round(getattr(features, name), 3), round(calibration.quantiles[name][0], 3))
        for part, name in parts[:TOP]
        if part > 0
    ]
    if carried > 0:
        reasons = [*reasons[: TOP - 1], Reason("days_before", round(carried, 3), round(carried, 3), 0.0)]
    speaking = sum(part >= SPEAKS for part, _ in parts) + (carried >= SPEAKS)
    return Evidence(total + carried, tuple(reasons), speaking)


def level_of(found: Evidence, calibration: Calibration) -> Level:
    """The highest level whose threshold the evidence exceeds."""
    reached = [level for level, threshold in calibration.thresholds.items() if found.score > threshold]
    level = max(reached, default=Level.OBSERVE)
    return min(level, Level.THROTTLE) if found.families < INDEPENDENT else level


def probed(found: Evidence, level: Level, burst: int) -> tuple[Evidence, Level]:
    """A burst of edits is throttled whatever the score: it would be over before a score has grown."""
    if burst < BURST:
        return found, level
    reason = Reason("burst", 0.0, float(burst), float(BURST))
    return found._replace(reasons=(reason, *found.reasons[: TOP - 1])), max(level, Level.THROTTLE)


def together(found: Evidence, level: Level, keys: Sequence[Level]) -> tuple[Evidence, Level]:
    """An account is where two of its keys stand, if that is VERIFY or above: one alone may be stolen, or one user's."""
    second = sorted(keys)[-2] if len(keys) > 1 else Level.OBSERVE
    if second < Level.VERIFY or second <= level:
        return found, level
    held = Reason("keys_held", 0.0, float(sum(each >= second for each in keys)), 0.0)
    return found._replace(reasons=(held, *found.reasons[: TOP - 1])), second


def carried_on(carried: float, score: float, drift: float) -> float:
    """The CUSUM after a day that ended with this score; what is older weighs less, so that nobody is guilty for ever."""
    return max(0.0, FADES * carried + score - drift)

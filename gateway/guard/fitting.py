"""Makes a calibration from honest traffic alone.

A key-day's score is its highest at any time of the day, with what the key's CUSUM carries over from the days before, because
that is what a level is decided by; so the false alarm rates named in RATES are per key and day.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import numpy as np

from gateway.guard.calibration import FLOOR, LEVELS_OF, Calibration
from gateway.guard.features import Features, Snapshot
from gateway.guard.score import carried_on, points
from gateway.guard.verdict import Level

RATES: Final[Mapping[Level, float]] = {
    Level.STRIP: 0.005,
    Level.THROTTLE: 0.0025,
    Level.VERIFY: 0.001,
    Level.QUARANTINE: 0.0003,
}
"""False alarms per honest key-day that each level is set to; the rarest can only be as rare as there were key-days."""
DRIFT: Final = 0.995
"""The quantile of honest key-days' scores above which a day adds to its key's CUSUM."""


def fit(snapshots: Iterable[Snapshot], weights: Mapping[str, float]) -> Calibration:
    """From honest traffic. Quantiles are over key-days at their highest."""
    days: defaultdict[tuple[str, int], list[Features]] = defaultdict(list)
    for key, day, features in snapshots:
        days[key, day].append(features)
    peaks = np.array([np.max(np.array(day), axis=0) for day in days.values()])
    quantiles = {name: _rising(np.quantile(peaks[:, place], LEVELS_OF)) for place, name in enumerate(Features._fields)}
    draft = Calibration(quantiles, dict(weights), {}, 0.0, len(days))
    scores: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for (key, day), seen in days.items():
        scores[key][day] = max(points(features, draft)[0] for features in seen)
    drift = float(np.quantile([score for key in scores.values() for score in key.values()], DRIFT))
    totals = [total for key in scores.values() for total in _with_the_days_before(key, drift)]
    thresholds = {level: float(np.quantile(totals, 1 - rate, method="higher")) for level, rate in RATES.items()}
    return draft._replace(thresholds=thresholds, drift=drift)


def _with_the_days_before(scores: Mapping[int, float], drift: float) -> Iterator[float]:
    """Of one key, day by day."""
    carried = 0.0
    for day in range(min(scores), max(scores) + 1):
        if day in scores:
            yield scores[day] + carried
        carried = carried_on(carried, scores.get(day, 0.0), drift)


def _rising(values: Iterable[float]) -> tuple[float, ...]:
    """Strictly, so that a feature that no honest key has still tells more from less."""
    out: list[float] = []
    for value in values:
        out.append(max(float(value), out[-1] + FLOOR if out else 0.0))
    return tuple(out)

"""What is usual: for each feature its quantiles over honest key-days, and for the score the thresholds of the levels.

`fitting.py` makes it from honest traffic; the packaged one was made by `make redteam-calibrate`.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from gateway.guard.verdict import Level

LEVELS_OF: Final = (0.5, 0.9, 0.99, 0.999)
FLOOR: Final = 0.5
"""Between two quantiles at least: a feature that no honest key had on record is no proof at its first trace."""


class Calibration(NamedTuple):
    """`quantiles[feature]`: at LEVELS_OF. `weights[feature]`: points for one unit of surprise. `drift`: what a day's score
    must exceed to add to the key's CUSUM.
    """

    quantiles: Mapping[str, tuple[float, ...]]
    weights: Mapping[str, float]
    thresholds: Mapping[Level, float]
    drift: float
    key_days: int

    @classmethod
    def load(cls, path: Path | None = None) -> "Calibration":
        """The packaged table, or the operator's own."""
        source = files(__package__).joinpath("calibration.json") if path is None else path
        raw = json.loads(source.read_text(encoding="utf-8"))
        return cls(
            {name: tuple(values) for name, values in raw["quantiles"].items()},
            raw["weights"],
            {Level[name.upper()]: value for name, value in raw["thresholds"].items()},
            raw["drift"],
            raw["key_days"],
        )

    def save(self, path: Path) -> None:
        raw = self._asdict() | {"thresholds": {level.label: value for level, value in self.thresholds.items()}}
        path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")

    def surprise(self, name: str, value: float) -> float:
        """0 up to the median, 1/4 at the 90th percentile, 1 at the 99th, 2 at the 99.9th, 4 at most."""
        half, often, seldom, rare = self.quantiles[name]
        if value <= half:
            return 0.0
        if value < often:
            return 0.25 * (value - half) / (often - half)
        if value < seldom:
            return 0.25 + 0.75 * (value - often) / (seldom - often)
        if value < rare:
            return 1 + (value - seldom) / (rare - seldom)
        return min(4.0, 2 + 2 * (value - rare) / max(rare - half, FLOOR))

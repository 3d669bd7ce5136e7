"""The schema of loadtests/results/suite-*.json, and the last one of a suite."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from loadtests.suite.gate import LATENCIES, Figures, Verdict
from loadtests.suite.knee import Point
from loadtests.suite.measures import Measures
from loadtests.suite.sampler import Growth

SCHEMA = 2


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. `figures` is what a later run of equal `options`, `model` and `accelerator` is held against."""

    schema: int
    suite: str
    started: str
    command: list[str]
    seed: int
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    config: dict[str, Any]
    options: dict[str, Any]
    model: str
    accelerator: str
    figures: Figures
    measures: Measures
    verdicts: list[Verdict]
    memory: list[Growth]
    faults: list[str]
    notes: list[str]
    ramp: list[Point]
    knee: Point | None
    baseline: str | None

    @property
    def met(self) -> bool:
        return not self.faults and all(verdict.met for verdict in self.verdicts)


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def last(folder: Path, suite: str, like: Mapping[str, Any]) -> tuple[str, Figures] | None:
    """Name and figures of the newest result of a suite whose fields are `like` this; file names end in their date."""
    for file in sorted(folder.glob(f"suite-{suite}-[0-9]*.json"), reverse=True):
        read = msgspec.json.decode(file.read_bytes())
        if all(read[name] == value for name, value in like.items()):
            return file.name, _figures(read)
    return None


def _figures(read: Mapping[str, Any]) -> Figures:
    """Results of schema 1 knew no calibration: their shares can be compared, their latencies cannot."""
    if read["schema"] == 1:
        values, calibration = {name: one for name, one in read["comparable"].items() if name not in LATENCIES}, None
    else:
        values, calibration = read["figures"]["values"], read["figures"]["calibration_ms"]
    return Figures({name: one for name, one in values.items() if one is not None and not math.isnan(one)}, calibration)

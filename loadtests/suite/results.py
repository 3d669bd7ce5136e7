"""The schema of loadtests/results/suite-*.json, and the last one of a suite."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from loadtests.suite.gate import LATENCIES, Figures, Verdict
from loadtests.suite.knee import Point
from loadtests.suite.measures import Measures
from loadtests.suite.sampler import Growth

SCHEMA = 3
PLACES = ("port", "state_dir", "keys_file")


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. `figures` is what a later run is held against if its `options`, `model`, `accelerator`, `cores` and
    `configuration` are equal. `cores`: how many it could use; `configuration`: what its file said, `placeless`; `config`: what
    followed from it, every default included.
    """

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
    cores: int
    configuration: dict[str, Any]
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


def placeless(config: Any) -> Any:
    """A configuration without its ports, and without where files lie: they differ between machines that serve the same."""
    match config:
        case dict():
            kept = {name: one for name, one in config.items() if name not in PLACES and not name.endswith("_port")}
            return {name: placeless(one) for name, one in kept.items()}
        case list():
            return [placeless(one) for one in config]
        case str() if config.startswith(("/", "~")):
            return "<path>"
        case _:
            return config


def last(folder: Path, suite: str, like: Mapping[str, Any]) -> tuple[str, Figures] | None:
    """Name and figures of the newest result of a suite whose fields are `like` this; file names end in their date."""
    for name, read in _newest_first(folder, suite):
        if not _unlike(read, like):
            return name, _figures(read)
    return None


def passed_over(folder: Path, suite: str, like: Mapping[str, Any]) -> list[str]:
    """Why the newest result of a suite is not its baseline; nothing if it is, or if there is none."""
    for name, read in _newest_first(folder, suite):
        unlike = _unlike(read, like)
        return [f"not compared with {name}: another value of {', '.join(unlike)}, or none"] if unlike else []
    return []


def _newest_first(folder: Path, suite: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.glob(f"suite-{suite}-[0-9]*.json"), reverse=True):
        yield file.name, msgspec.json.decode(file.read_bytes())


def _unlike(read: Mapping[str, Any], like: Mapping[str, Any]) -> list[str]:
    return [name for name, value in like.items() if read.get(name) != value]


def _figures(read: Mapping[str, Any]) -> Figures:
    """Results of schema 1 knew no calibration: their shares can be compared, their latencies cannot."""
    if read["schema"] == 1:
        values, calibration = {name: one for name, one in read["comparable"].items() if name not in LATENCIES}, None
    else:
        values, calibration = read["figures"]["values"], read["figures"]["calibration_ms"]
    return Figures({name: one for name, one in values.items() if one is not None and not math.isnan(one)}, calibration)

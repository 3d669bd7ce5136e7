"""The schema of loadtests/results/chaos-*.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from loadtests.chaos.verdict import beyond_chance

SCHEMA = 3


class Row(msgspec.Struct, forbid_unknown_fields=True):
    """One fault, or the control. Counted are the requests that ended between the fault and the end of the last one that was in
    the air when all engines stood again. `compared`: answers that could be held against the reference run.
    `moved`: times that a stream went on with another engine; `reasons`: of the refusals, by error code.
    """

    fault: str
    title: str
    in_flight: int = 0
    completed: int = 0
    refused: int = 0
    failed: int = 0
    compared: int = 0
    altered: int = 0
    flipped: int = 0
    longest_pause_ms: float = 0.0
    longest_answer_s: float = 0.0
    recovery_s: float = 0.0
    moved: int = 0
    reasons: dict[str, int] = {}
    notes: list[str] = []
    problems: list[str] = []


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run. `config` is the file that Sluice was started with; `near_tie` and `chance` are those of verdict.py."""

    schema: int
    started: str
    seconds: float
    command: list[str]
    seed: int
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    config: dict[str, Any]
    streams: int
    near_tie: float
    chance: float
    rows: list[Row]


def flips_beyond_chance(rows: Sequence[Row]) -> bool:
    """The first row is the control."""
    return beyond_chance(_flips(rows[:1]), _flips(rows[1:]))


def unharmed(rows: Sequence[Row]) -> bool:
    return not any(row.failed or row.altered or row.problems for row in rows) and not flips_beyond_chance(rows)


def _flips(rows: Sequence[Row]) -> tuple[int, int]:
    return sum(row.flipped for row in rows), sum(row.compared for row in rows)


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")

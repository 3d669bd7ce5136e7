"""The schema of loadtests/results/redteam-*.json, and the table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

SCHEMA = 1


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attack in one mode. `expected` and `success` decide whether it is as it should be; `stopped` is the first refusal,
    `unclear` why a failure proves nothing.
    """

    attack: str
    title: str
    mode: str
    expected: str
    success: bool
    measure: str
    requests: int
    answered: int
    prompt_tokens: int
    completion_tokens: int
    scalars: int
    stopped: str
    refusals: dict[str, int]
    figures: dict[str, float]
    seconds: float
    unclear: str = ""

    @property
    def as_expected(self) -> bool:
        return self.success == (self.expected == "wins") and not self.unclear


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    started: str
    seconds: float
    command: list[str]
    seed: int
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, Any]
    rows: list[Row]


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def show(rows: Sequence[Row], console: Console) -> None:
    table = Table("attack", "mode", "outcome", title="Red team")
    for column in ("requests", "tokens", "scalars"):
        table.add_column(column, justify="right")
    for column in ("success measure", "stopped at"):
        table.add_column(column)
    for number, row in enumerate(rows):
        first = number == 0 or rows[number - 1].attack != row.attack
        if first:
            table.add_section()
        outcome = "wins" if row.success else "fails"
        table.add_row(
            f"{row.attack} {row.title}" if first else "",
            row.mode,
            outcome if row.as_expected else f"{outcome}, NOT AS EXPECTED",
            str(row.requests),
            str(row.prompt_tokens + row.completion_tokens),
            str(row.scalars),
            row.measure,
            row.stopped + (f" ({row.unclear})" if row.unclear else ""),
            style=None if row.as_expected else "bold red",
        )
    console.print(table)
    wrong = [f"{row.attack} ({row.mode})" for row in rows if not row.as_expected]
    console.print(f"not as expected: {', '.join(wrong)}" if wrong else "every attack ended as expected", style="bold")

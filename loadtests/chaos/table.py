"""Results → one table and a few lines, for a terminal."""

from rich.console import Console
from rich.table import Table

from loadtests.chaos.results import Results, Row, flips_beyond_chance, unharmed

COLUMNS = (
    "in flight",
    "moved",
    "completed",
    "refused",
    "failed",
    "altered",
    "flipped",
    "longest pause, ms",
    "longest answer, s",
    "recovery, s",
)


def show(results: Results, console: Console) -> None:
    table = Table("fault", title="Faults under load")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    table.add_column("")
    for row in results.rows:
        table.add_row(row.title, *_figures(row), "; ".join(row.notes), style="red" if _harmed(row) else None)
    console.print(table)
    for row in results.rows:
        for problem in row.problems:
            console.print(f"{row.fault}: {problem}", markup=False)
    more = "more" if flips_beyond_chance(results.rows) else "no more"
    console.print(f"flips under faults are {more} frequent than in the control, plus chance")
    machine = results.machine
    console.print(
        f"{machine['cpu']}, {machine['cores']} cores; {results.streams} streams; commit {results.commit}, seed {results.seed}"
    )
    console.print("[green]no stream was harmed" if unharmed(results.rows) else "[bold red]FAILED")


def _harmed(row: Row) -> bool:
    return bool(row.failed or row.altered or row.problems)


def _figures(row: Row) -> list[str]:
    if not row.completed:
        return [""] * len(COLUMNS)
    counts = (row.in_flight, row.moved, row.completed, row.refused, row.failed, row.altered, row.flipped)
    return [*map(str, counts), f"{row.longest_pause_ms:.0f}", f"{row.longest_answer_s:.1f}", f"{row.recovery_s:.1f}"]

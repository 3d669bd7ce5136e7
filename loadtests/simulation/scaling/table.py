"""Cases → a table for a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from loadtests.simulation.scaling.study import OURS, Case, Row
from loadtests.simulation.scaling.verdict import MISSES, ORACLE, SAVING


def show(cases: Sequence[Case], console: Console) -> None:
    table = Table(
        "trace",
        "start-up",
        "policy",
        "TTFT in time",
        "TTFT p50 / p99",
        "refused",
        "replica-hours",
        "ups + downs",
        "turns",
        "bar or setting",
    )
    for case in cases:
        table.add_section()
        for place, row in enumerate(case.rows):
            table.add_row(
                case.trace if not place else "",
                f"{case.startup_s:g} s" if not place else "",
                row.policy,
                f"{row.attained:.2%}",
                f"{row.ttft_p50_s:.2f} / {row.ttft_p99_s:.2f} s",
                str(row.refused),
                f"{row.replica_hours:.2f}",
                f"{row.ups} + {row.downs}",
                str(row.turns),
                _last(case, row),
            )
    console.print(table)
    for case in cases:
        console.print(verdict(case))


def _last(case: Case, row: Row) -> str:
    if row.policy == OURS:
        return "held" if case.verdict.held else "[bold red]MISSED[/bold red]"
    return row.setting.partition(", ")[2] if "tuned" in row.policy else ""


def verdict(case: Case) -> str:
    """In words, and in red where the bar does not hold."""
    told = case.verdict
    cheaper = (
        "no setting misses as little" if told.hours is None else f"{told.hours:.2f} x the best hours at our misses"
    )
    surer = "none is as cheap" if told.misses is None else f"{told.misses:.2f} x the fewest misses at our hours"
    text = f"{case.trace}, {case.startup_s:g} s: {cheaper} (bar {SAVING}) or {surer} (bar {MISSES})"
    text += f"; {told.oracle:.2f} x the oracle's hours, {told.oracle_as_sure:.2f} x those of one as sure as ours (bar {ORACLE})"
    text += f"; {case.settings} settings of others"
    return text if told.held else f"[bold red]MISSED[/bold red] {text}"

"""Outcomes of a replay → tables for a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from loadtests.simulation.routing_cost import PROMPT_TOKENS, REPLICAS, Cost
from loadtests.simulation.routing_replay import Outcome


def show(outcomes: Sequence[Outcome], ceiling: float, cost: Cost, console: Console) -> None:
    table = Table(
        "replicas",
        "gateways",
        "cache, blocks",
        "policy",
        "hits",
        "max/mean load",
        "TTFT mean / p50 / p99, s",
        "decision p50 / p99, µs",
        title=f"Share of prompt blocks found (ceiling {ceiling:.1%})",
    )
    last = None
    for outcome in outcomes:
        setup = outcome.setup
        if last not in (None, setup):
            table.add_section()
        last = setup
        reports = f", reports each {setup.report_s:g} s" if setup.gateways > 1 else ""
        table.add_row(
            str(setup.replicas),
            f"{setup.gateways}{reports}",
            "all" if setup.cache_blocks is None else str(setup.cache_blocks),
            outcome.policy,
            f"{outcome.hit_rate:.1%}",
            f"{outcome.max_over_mean_load:.3f}",
            f"{outcome.ttft_mean_s:.2f} / {outcome.ttft_p50_s:.2f} / {outcome.ttft_p99_s:.1f}",
            f"{outcome.decision_p50_us:.1f} / {outcome.decision_p99_us:.1f}",
        )
    console.print(table)
    console.print(
        f"a decision with hashing, {PROMPT_TOKENS} tokens, {REPLICAS} replicas, quietest round: "
        f"median {cost.decision_p50:.1f} µs, p99 {cost.decision_p99:.1f} µs"
    )

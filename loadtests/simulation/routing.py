"""`python -m loadtests.simulation.routing TRACE`: replays a trace through the router and through simpler policies.

The engines are modelled (routing_engine.py), the router is the gateway's own. A gateway learns what it dispatched, its own
streams' first and last outputs with their cached tokens, and once a second what the engines report.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from loadtests.bench.probe import machine
from loadtests.simulation import mooncake
from loadtests.simulation.provenance import commit, write
from loadtests.simulation.routing_cost import Cost, measure
from loadtests.simulation.routing_policies import POLICIES
from loadtests.simulation.routing_replay import Outcome, Replay, Setup
from loadtests.simulation.routing_table import show

SCHEMA = 2
REPLICAS = (2, 4, 8)
HIT_BAR, LOAD_BAR, COST_BAR_US = 0.35, 1.25, 50.0
BOUNDED = 2000
"""Blocks of 512 tokens: a KV cache of one million tokens."""
PIPED_WIDTH = 150


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run; `ceiling` is the hit rate of a single cache that never forgets."""

    schema: int
    started: str
    command: list[str]
    trace: str
    requests: int
    seed: int
    commit: str
    machine: dict[str, str]
    ceiling: float
    cost: Cost
    outcomes: list[Outcome]
    missed: list[str]


def runs(utilisation: float, seed: int) -> Iterator[tuple[str, Setup]]:
    """Every policy at 2, 4 and 8 replicas; then ours where it is harder: caches that forget, several gateways."""
    for replicas in REPLICAS:
        for policy in POLICIES:
            yield policy, Setup(replicas, utilisation=utilisation, seed=seed)
    largest = REPLICAS[-1]
    for policy in ("round robin", "Sluice"):
        yield policy, Setup(largest, cache_blocks=BOUNDED, utilisation=utilisation, seed=seed)
    for report_s in (1.0, 0.1):
        yield "Sluice", Setup(largest, 4, utilisation, report_s=report_s, seed=seed)


def missed(outcomes: list[Outcome], cost: Cost) -> list[str]:
    """The bars that do not hold, in words."""
    plain = Setup(REPLICAS[-1], utilisation=outcomes[0].setup.utilisation, seed=outcomes[0].setup.seed)
    [ours] = [outcome for outcome in outcomes if outcome.policy == "Sluice" and outcome.setup == plain]
    told = {
        f"hits {ours.hit_rate:.1%}, bar {HIT_BAR:.0%}": ours.hit_rate >= HIT_BAR,
        f"max/mean load {ours.max_over_mean_load:.2f}, bar {LOAD_BAR}": ours.max_over_mean_load <= LOAD_BAR,
        f"decision {cost.decision_p50:.1f} µs, bar {COST_BAR_US:.0f} µs": cost.decision_p50 <= COST_BAR_US,
    }
    return [text for text, held in told.items() if not held]


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.simulation.routing")
    root.add_argument(
        "trace", type=Path, help="JSON lines of Mooncake's form: timestamp, input_length, output_length, hash_ids"
    )
    root.add_argument(
        "--utilisation", type=float, default=0.7, help="offered work over the engines' speed (default: 0.7)"
    )
    root.add_argument("--seed", type=int, default=1, help="of ties and of who sends through which gateway (default: 1)")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/routing-<date>.json)")
    root.add_argument("--strict", action="store_true", help="exit status 1 if a bar is missed")
    return root


def main() -> None:
    arguments = parser().parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    started, sha = time.strftime("%Y-%m-%dT%H:%M:%S%z"), commit("gateway/routing", "loadtests/simulation")
    cost = measure()
    arrivals = mooncake.spread(mooncake.read(arguments.trace))
    outcomes = [
        Replay(arrivals, setup).run(name, POLICIES[name]) for name, setup in runs(arguments.utilisation, arguments.seed)
    ]
    results = Results(
        schema=SCHEMA,
        started=started,
        command=f"python -m loadtests.simulation.routing {arguments.trace.name} --utilisation {arguments.utilisation}".split(),
        trace=arguments.trace.name,
        requests=len(arrivals),
        seed=arguments.seed,
        commit=sha,
        machine=machine(),
        ceiling=mooncake.ceiling(arrivals),
        cost=cost,
        outcomes=outcomes,
        missed=missed(outcomes, cost),
    )
    out = write(results, "routing", arguments.out)
    show(outcomes, results.ceiling, cost, console)
    for text in results.missed:
        console.print(f"[bold red]MISSED[/bold red] {text}")
    console.print(f"written to {out}")
    sys.exit(int(arguments.strict and bool(results.missed)))


if __name__ == "__main__":
    main()

"""`python -m loadtests.simulation.admission`: the gateway's own fair queue before a simulated service.

Three tables: whether those who are told to come back get in then; what a tenant within its share waits beside a flood, by
reserve; what the queue costs for each request. Exit status 1 if a load on which clients tell their attempt, or whose requests
differ, is below the bar.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from gateway.admission.ticket import Policy
from loadtests.arithmetic import percentile
from loadtests.bench.probe import machine
from loadtests.simulation.admission_cost import costs_us
from loadtests.simulation.admission_loads import LOADS, POLICY, identical, varied
from loadtests.simulation.admission_service import Client, Service, poisson
from loadtests.simulation.provenance import commit, write

SCHEMA = 1
HONEST_BAR = 0.9
RESERVES = (0.0, 1 / 16, 1 / 5)
PIPED_WIDTH = 120


class Honesty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One load, replayed with the seeds from 0: how many were promised an instant, and the share of them that got in then, over all
    replays and in the worst. `must`: the bar is for it.
    """

    load: str
    promised: int
    got_in: float
    worst_replay: float
    must: bool


class Wait(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds that a tenant within its share waits beside a flood."""

    reserve: float
    p50: float
    p90: float
    p99: float
    longest: float


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run."""

    schema: int
    started: str
    command: list[str]
    seeds: int
    policy: dict[str, object]
    commit: str
    machine: dict[str, str]
    honesty: list[Honesty]
    waits: list[Wait]
    costs_us: dict[str, float]
    missed: list[str]


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m loadtests.simulation.admission", description=(__doc__ or "").partition(":")[2]
    )
    root.add_argument("--seeds", type=int, default=20, help="replays of each load (default: 20)")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/admission-<date>.json)")
    return root


def replayed(
    load: Iterable[list[Client]], *, tells_attempt: bool = False, policy: Policy = POLICY
) -> tuple[int, list[float]]:
    """How many were promised an instant, and the share of them that got in then, one for each replay."""
    promised, honest = 0, []
    for seed, clients in enumerate(load):
        service = Service(policy, seed=seed, tells_attempt=tells_attempt)
        service.run(clients)
        promised += service.promised
        honest.append(service.honest / max(1, service.promised))
    return promised, honest


def waits_s(reserve: float, seeds: int) -> list[float]:
    """Of a tenant that offers 4 requests/s to 64 sequences beside one that offers 80."""
    found = []
    for seed in range(seeds):
        service = Service(replace(POLICY, reserve=reserve), sequences=64, seed=seed)
        modest = poisson("modest", 4.0, 5, 60, seed, varied)
        service.run([*modest, *poisson("noisy", 80, 0, 60, seed, varied)], until=90)
        found += [client.started_at - client.at for client in modest if client.started_at is not None]
    return found


def honesty(seeds: int) -> list[Honesty]:
    rows = [(name, [load(seed) for seed in range(seeds)], False, True) for name, load in LOADS.items()]
    rows.append(("identical requests that tell their attempt", [identical() for _ in range(seeds)], True, True))
    rows.append(("identical requests that do not", [identical() for _ in range(seeds)], False, False))
    found = []
    for name, replays, tells, must in rows:
        promised, shares = replayed(replays, tells_attempt=tells)
        found.append(Honesty(name, promised, sum(shares) / len(shares), min(shares), must))
    return found


def waited(reserve: float, seeds: int) -> Wait:
    waits = waits_s(reserve, seeds)
    return Wait(reserve, *(percentile(waits, part) for part in (0.5, 0.9, 0.99, 1.0)))


def show(results: Results, console: Console) -> None:
    table = Table("load", "promised", "got in, %", "worst replay, %", title="Coming back when told to")
    for row in results.honesty:
        table.add_row(row.load, f"{row.promised}", f"{100 * row.got_in:.1f}", f"{100 * row.worst_replay:.1f}")
    console.print(table)
    table = Table(
        "reserve", "p50", "p90", "p99", "longest", title="Seconds a tenant within its share waits beside a flood"
    )
    for wait in results.waits:
        told = (wait.p50, wait.p90, wait.p99, wait.longest)
        table.add_row(f"{wait.reserve:.3f}", *(f"{seconds:.2f}" for seconds in told))
    console.print(table)
    table = Table("", "µs", title="CPU of one request")
    for name, cost in results.costs_us.items():
        table.add_row(name, f"{cost:.1f}")
    console.print(table)


def main() -> None:
    arguments = parser().parse_args()
    seeds, started = arguments.seeds, time.strftime("%Y-%m-%dT%H:%M:%S%z")
    sha = commit("gateway/admission", "loadtests/simulation")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    told = honesty(seeds)
    results = Results(
        schema=SCHEMA,
        started=started,
        command=f"python -m loadtests.simulation.admission --seeds {seeds}".split(),
        seeds=seeds,
        policy={name: value for name, value in vars(POLICY).items() if name != "shares"}
        | {"shares": dict(POLICY.shares)},
        commit=sha,
        machine=machine(),
        honesty=told,
        waits=[waited(reserve, max(1, seeds // 4)) for reserve in RESERVES],
        costs_us=costs_us(),
        missed=[row.load for row in told if row.must and row.got_in < HONEST_BAR],
    )
    out = write(results, "admission", arguments.out)
    show(results, console)
    console.print(f"written to {out}")
    sys.exit(bool(results.missed))


if __name__ == "__main__":
    main()

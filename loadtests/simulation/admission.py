"""`python -m loadtests.simulation.admission`: the gateway's own fair queue before a simulated service.

Three tables: whether those who are told to come back get in then; what a tenant within its share waits beside a flood, by
reserve; what the queue costs for each request. Exit status 1 if a load on which clients tell their attempt, or whose requests
differ, is below the bar.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from gateway.admission.ticket import Policy
from loadtests.arithmetic import percentile
from loadtests.simulation.admission_cost import costs_us
from loadtests.simulation.admission_loads import LOADS, POLICY, identical, varied
from loadtests.simulation.admission_service import Client, Service, poisson

HONEST_BAR = 0.9
RESERVES = (0.0, 1 / 16, 1 / 5)
PIPED_WIDTH = 120


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m loadtests.simulation.admission", description=(__doc__ or "").partition(":")[2]
    )
    root.add_argument("--seeds", type=int, default=20, help="replays of each load (default: 20)")
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


def honesty(seeds: int) -> tuple[Table, bool]:
    """And whether every load that must is at or above the bar."""
    table = Table("load", "promised", "got in, %", "worst replay, %", title="Coming back when told to")
    rows = [(name, [load(seed) for seed in range(seeds)], False, True) for name, load in LOADS.items()]
    rows.append(("identical requests that tell their attempt", [identical() for _ in range(seeds)], True, True))
    rows.append(("identical requests that do not", [identical() for _ in range(seeds)], False, False))
    good = True
    for name, replays, tells, must in rows:
        promised, shares = replayed(replays, tells_attempt=tells)
        mean = sum(shares) / len(shares)
        good &= mean >= HONEST_BAR or not must
        table.add_row(name, f"{promised}", f"{100 * mean:.1f}", f"{100 * min(shares):.1f}")
    return table, good


def main() -> None:
    seeds = parser().parse_args().seeds
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    told, good = honesty(seeds)
    console.print(told)
    table = Table(
        "reserve", "p50", "p90", "p99", "longest", title="Seconds a tenant within its share waits beside a flood"
    )
    for reserve in RESERVES:
        waits = waits_s(reserve, max(1, seeds // 4))
        table.add_row(f"{reserve:.3f}", *(f"{percentile(waits, part):.2f}" for part in (0.5, 0.9, 0.99, 1.0)))
    console.print(table)
    table = Table("", "µs", title="CPU of one request")
    for name, cost in costs_us().items():
        table.add_row(name, f"{cost:.1f}")
    console.print(table)
    sys.exit(not good)


if __name__ == "__main__":
    main()

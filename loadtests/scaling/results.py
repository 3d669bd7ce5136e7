"""The results of a demonstration: as a file, and told in words."""

import time
from pathlib import Path

import msgspec
from rich.console import Console

from loadtests.scaling.course import Results


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def show(results: Results, console: Console) -> None:
    for change in results.changes:
        when = time.strftime("%H:%M:%S", time.localtime(change["at"]))
        console.print(f"{when}  {change['from']} -> {change['to']}  {'; '.join(change['reasons'])}", markup=False)
    for name, seconds in results.steps.items():
        console.print(f"{name}: {seconds:.1f} s")
    beside = results.beside
    rows = {
        "wait at the gateway, mean (s)": beside.wait_mean_s,
        "wait at the gateway, p90 (s)": beside.wait_p90_s,
        "TTFT, mean (s)": beside.ttft_mean_s,
        "TTFT, p90 (s)": beside.ttft_p90_s,
        "requests waiting, mean": beside.queue_mean,
        "replicas asked for, mean": beside.replicas_mean,
        "replicas asked for, most": beside.replicas_most,
    }
    for name, (measured, simulated) in rows.items():
        error = f" ({simulated / measured - 1:+.0%})" if measured else ""
        console.print(f"{name}: measured {measured:.2f}, simulated {simulated:.2f}{error}")
    console.print(
        f"second by second apart: {beside.queue_apart:.1f} requests waiting, {beside.replicas_apart:.2f} replicas"
    )
    console.print(f"requests parked while asleep: {results.parked}")
    console.print(f"{results.requests} requests, {len(results.failed)} failed {results.failed[:3]}", markup=False)
    for problem in results.problems:
        console.print(problem, markup=False, style="bold red")

"""`python -m loadtests.chaos.hedging`: TTFT with one of two engines twenty times slower, without and with hedged first tokens.

The breaker that takes new work from a slow engine is out of the way here (`slow_factor`), so that hedging stands alone; it is
measured by `make chaos`, and the last row has both. The router sees the slow engine's backlog in every row.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml
from rich.console import Console
from rich.table import Table

from loadtests.arithmetic import percentile
from loadtests.bench.__main__ import PIPED_WIDTH, ROOT, commit
from loadtests.bench.probe import machine
from loadtests.chaos.__main__ import tormented
from loadtests.chaos.faults import SLOW_CYCLE_S, SLOWER
from loadtests.chaos.target import Target, core_of, send
from loadtests.drive import drive
from loadtests.load import Job, Load
from loadtests.prompts import prompts
from loadtests.servers import HOST, Server, start_sluice

STREAMS, REQUESTS, TOKENS = 8, 240, 16
NEVER_SLOW = 1e6
ROWS: dict[str, dict[str, Any]] = {
    "no hedging": {"slow_factor": NEVER_SLOW},
    "after 0.1 s, default budget": {"slow_factor": NEVER_SLOW, "hedge_after_s": 0.1},
    "after 0.1 s, one in two": {"slow_factor": NEVER_SLOW, "hedge_after_s": 0.1, "hedge_ratio": 0.5},
    "after 0.1 s, default budget and breaker": {"hedge_after_s": 0.1},
}


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """TTFT in milliseconds, with both engines sound and with one slow; hedges sent meanwhile."""

    name: str
    failover: dict[str, Any]
    sound_ms: list[float]
    slow_ms: list[float]
    slow_s: float
    hedges: int


def measure(base: Path, folder: Path, name: str, failover: dict[str, Any], seed: int) -> Row:
    folder.mkdir()
    raw = yaml.safe_load(tormented(base, folder).read_text(encoding="utf-8"))
    raw["gateway"]["failover"] |= failover
    file = folder / "hedging.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    server = start_sluice(file, folder / "run", haproxy=False)

    def target() -> Target:
        return Target(folder / "run" / "sluice.yaml", folder / "run" / "state", server.model, server.pids)

    try:
        _ask(server, 64, seed)
        sound = _ask(server, REQUESTS, seed + 1)
        with _slowed(core_of(asyncio.run(target().engines())[0])):
            slow = _ask(server, REQUESTS, seed + 2)
        hedges = asyncio.run(target().hedged())
    finally:
        server.stop()
    return Row(name, failover, _ttft_ms(sound), _ttft_ms(slow), slow.seconds, hedges)


def _ttft_ms(load: Load) -> list[float]:
    """p50, p90, p99."""
    return [1e3 * percentile(load.ttft_s, share) for share in (0.5, 0.9, 0.99)]


class _slowed:  # noqa: N801  reads as the state it makes
    """One engine core runs for a twentieth of the time."""

    def __init__(self, core: psutil.Process) -> None:
        self._core = core
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.is_set():
            send(self._core, signal.SIGSTOP)
            time.sleep(SLOW_CYCLE_S * (SLOWER - 1) / SLOWER)
            send(self._core, signal.SIGCONT)
            time.sleep(SLOW_CYCLE_S / SLOWER)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _ask(server: Server, requests: int, seed: int) -> Load:
    job = Job(HOST, server.ports["own"], server.model, prompts(requests, seed), STREAMS, TOKENS, server.key)
    load, _, _ = drive(job, lambda: None)
    if load.problems:
        raise RuntimeError(f"a stream failed: {load.problems[0]}")
    return load


def main() -> None:
    root = argparse.ArgumentParser(
        prog="python -m loadtests.chaos.hedging", description=(__doc__ or "").partition(":")[2]
    )
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what Sluice serves")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/hedging-<date>.json)")
    root.add_argument("--seed", type=int, default=1, help="of the prompts (default: 1)")
    arguments = root.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    rows = []
    with tempfile.TemporaryDirectory(prefix="sluice-hedging-") as folder:
        for number, (name, failover) in enumerate(ROWS.items()):
            console.print(f"[dim]{name}[/dim]")
            rows.append(measure(arguments.config, Path(folder) / str(number), name, failover, arguments.seed))
    table = Table("hedging", "sound: TTFT p50, p90, p99, ms", "one slow: the same", "seconds", "hedges")
    for row in rows:
        figures = ("  ".join(f"{value:.0f}" for value in values) for values in (row.sound_ms, row.slow_ms))
        table.add_row(row.name, *figures, f"{row.slow_s:.1f}", str(row.hedges))
    console.print(table)
    out = arguments.out or ROOT / "loadtests" / "results" / f"hedging-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    record = {"commit": commit(), "machine": machine(), "seed": arguments.seed, "requests": REQUESTS, "rows": rows}
    out.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    console.print(f"written to {out}")


if __name__ == "__main__":
    main()

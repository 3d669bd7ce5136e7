"""`python -m loadtests.scaling`: a Sluice of its own goes 0 → 1 → 3 → 1 → 0 → 1 under load, and no request fails.

Exit status 1 if one failed, a step did not come in time, parked requests lost their order, or a decision cannot be read where it
should. The result tells every decision with its reasons, and the same arrivals simulated; --images are a picture of it, and Ray's
dashboard as a headless Chromium shows it meanwhile. Each engine core gets --share of a processor core (1: all of it): without that,
three engines on a machine with two cores are no faster than one.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from loadtests.launch import Launched, free_port
from loadtests.scaling.course import BOUNDS_S, MODEL, SCALING, SLOTS, Place, Results, run
from loadtests.scaling.plot import draw
from loadtests.scaling.results import show, write
from loadtests.scaling.share import Shares
from loadtests.simulation.provenance import ROOT

START_S = 240.0


def config(folder: Path, listen: int, management: int, board: int) -> dict[str, Any]:
    engine = {"dtype": "bfloat16", "enforce_eager": True, "max_num_batched_tokens": 2048, "block_size": 32}
    return {
        "state_dir": str(folder / "state"),
        "gateway": {
            "listen": {"port": listen},
            "management": {"port": management},
            "drain_s": 10,
            "admission": {"deadline_s": 240, "reserve": 0.0, "tenant_share": 1.0},
        },
        "ray": {"dashboard": True, "dashboard_port": board, "logical_cpus": 12},
        "models": [
            {
                "name": MODEL,
                "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}},
                "autoscaling": SCALING,
                "engine": engine | {"max_num_seqs": SLOTS, "kv_cache_memory": "64MiB"},
            }
        ],
    }


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.scaling")
    root.add_argument("--seed", type=int, default=1)
    root.add_argument("--share", type=float, default=0.25, help="of a processor core, for each engine core")
    root.add_argument("--images", type=Path, help="folder of the pictures; none without it")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/autoscaling-<date>.json)")
    root.add_argument("--log", type=Path, help="keep Sluice's own output there")
    return root


def main() -> None:
    given = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(highlight=False, soft_wrap=True)
    out = given.out or ROOT / "loadtests" / "results" / f"autoscaling-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    results = demonstrate(given, console)
    write(results, out)
    if given.images is not None:
        draw(results.arrivals, results.looks, results.beside, given.images / "scaling-live.png")
    show(results, console)
    console.print(f"written to {out}")
    sys.exit(int(not results.held))


def demonstrate(given: argparse.Namespace, console: Console) -> Results:
    console.print("; ".join(f"{step} within {bound:.0f} s" for step, bound in BOUNDS_S.items()))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listen, management, board = free_port(), free_port(), free_port()
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(config(folder, listen, management, board)))
        cli = [sys.executable, "-m", "gateway.cli"]
        launched = Launched([*cli, "up", str(file)], {"COLUMNS": "200"}, given.log or folder / "up.log")
        try:
            launched.wait_ready([f"http://127.0.0.1:{management}/readyz"], START_S)
            create = [*cli, "keys", "-c", str(file), "create", "--name", "scaling", "--tenant", "scaling"]
            key = subprocess.run(create, capture_output=True, text=True, check=True).stdout.split()[0]
            place = Place(
                url=f"http://127.0.0.1:{listen}",
                key=key,
                management=f"http://127.0.0.1:{management}",
                dashboard=f"http://127.0.0.1:{board}",
                token=(folder / "state" / "ray-token").read_text().strip(),
                status=[*cli, "status", "-c", str(file)],
                images=given.images,
            )
            with Shares(given.share) as shares:
                return asyncio.run(run(place, given.seed, given.share, shares, console.print))
        finally:
            launched.stop()


if __name__ == "__main__":
    main()

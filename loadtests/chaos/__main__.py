"""`python -m loadtests.chaos`: strikes a running Sluice under load, prints one table, writes one JSON file."""

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
import yaml
from rich.console import Console

from loadtests.bench.__main__ import PIPED_WIDTH, ROOT, commit, versions
from loadtests.bench.probe import machine
from loadtests.bench.results import without_paths
from loadtests.bench.tracing import Sink
from loadtests.chaos import network
from loadtests.chaos.faults import FAULTS, QUICK, QUICK_FAULTS, Sizes
from loadtests.chaos.kinds import GUARD
from loadtests.chaos.results import SCHEMA, Results, unharmed, write
from loadtests.chaos.session import Session
from loadtests.chaos.table import show
from loadtests.chaos.target import Target
from loadtests.chaos.verdict import CHANCE, NEAR_TIE
from loadtests.redis_server import start_redis, stop_redis
from loadtests.servers import start_sluice

REPLICAS = 2
ENGINE = {"kv_cache_memory": "64MiB", "max_num_seqs": 64, "max_num_batched_tokens": 2048}
GATEWAY: dict[str, Any] = {
    # The peer of an engine slowed twentyfold shares what is left of the machine, and is slower itself.
    "failover": {"stall_s": 3, "slow_factor": 5},
    "admission": {"max_requests": 32},
    "engine_wait_s": 60,
    "guard": GUARD,
    "drain_s": 5,
}
"""A test need not wait as long as a production system before it gives up on an engine, nor queue as much."""
LIMITS = {
    "requests": {"tenant": ["1000000/minute"]},
    "tokens": [{"scope": "tenant", "per": "day", "limit": 1_000_000_000}],
}


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.chaos", description="Strikes a running Sluice under load.")
    root.add_argument("--quick", action="store_true", help=f"in under two minutes: {', '.join(QUICK_FAULTS)}")
    root.add_argument("--faults", type=_names, help=f"comma-separated, of: {', '.join(FAULTS)} (default: all)")
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what Sluice serves")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/chaos-<date>.json)")
    root.add_argument("--seed", type=int, default=1, help="of the requests (default: 1)")
    return root


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in FAULTS]:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}")
    return names


def tormented(base: Path, folder: Path, redis: str | None = None, traces: str | None = None) -> Path:
    """`base` with two engines, settings that suit a test, limits that are counted and never reached, and every request
    traced to this address.
    """
    raw = yaml.safe_load(base.read_text(encoding="utf-8"))
    raw["models"] = [raw["models"][0] | {"replicas": REPLICAS}]
    raw["models"][0]["engine"] = raw["models"][0].get("engine", {}) | ENGINE
    raw["gateway"] = raw.get("gateway", {}) | GATEWAY
    if redis is not None:
        raw["limits"] = {"redis": redis, "default": LIMITS}
    if traces is not None:
        raw["telemetry"] = {"traces": {"endpoint": traces, "protocol": "http", "ratio": 1}}
    raw["ray"] = raw.get("ray", {}) | {"dashboard": False}
    file = folder / "base.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return file


def main() -> None:
    arguments = parser().parse_args()
    network.enter(["-m", "loadtests.chaos", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    begun, started, before, sha = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z"), machine(), commit()
    sizes = QUICK if arguments.quick else Sizes()
    faults = arguments.faults or (QUICK_FAULTS if arguments.quick else tuple(FAULTS))

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/dim]  {text}")

    with tempfile.TemporaryDirectory(prefix="sluice-chaos-") as name, contextlib.ExitStack() as last:
        folder = Path(name)
        redis = start_redis(folder) if shutil.which("redis-server") else None
        if redis is not None:
            last.callback(stop_redis, redis)
        sink = Sink()
        last.callback(sink.close)
        say(f"starting Sluice with {REPLICAS} engines")
        server = start_sluice(
            tormented(arguments.config, folder, None if redis is None else redis.url, sink.url),
            folder / "run",
            haproxy=False,
        )
        try:
            target = Target(folder / "run" / "sluice.yaml", folder / "run" / "state", server.model, server.pids, redis)
            session = Session(target, server.ports["own"], sizes, arguments.seed, say)
            uvloop.run(session.run(faults, REPLICAS))
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            say("stopping Sluice")
            server.stop()
        say(f"{sink.received / 1e6:.1f} MB of traces were sent")
    names = {str(ROOT): ".", name: "<scratch>"}
    results = Results(
        schema=SCHEMA,
        started=started,
        seconds=time.monotonic() - begun,
        command=without_paths(["python", "-m", "loadtests.chaos", *sys.argv[1:]], names),
        seed=arguments.seed,
        commit=sha,
        machine=before,
        versions=versions(),
        config=without_paths(server.settings, names),
        streams=sizes.streams,
        near_tie=NEAR_TIE,
        chance=CHANCE,
        rows=session.rows,
    )
    out = arguments.out or ROOT / "loadtests" / "results" / f"chaos-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    write(results, out)
    show(results, console)
    console.print(f"written to {out}")
    sys.exit(int(not unharmed(results.rows)))


if __name__ == "__main__":
    main()

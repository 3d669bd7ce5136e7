"""`python -m loadtests.concurrency`: 1,000 streams at once for five minutes, then 10,000 idle connections, at one gateway."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop
import yaml

from gateway.config import load
from loadtests.bench.__main__ import ROOT, commit, versions
from loadtests.bench.probe import machine
from loadtests.bench.results import without_paths
from loadtests.concurrency.results import SCHEMA, Connections, Results, Streams, write
from loadtests.concurrency.session import connections, looking, streams
from loadtests.concurrency.streams import Door
from loadtests.servers import HOST, start_sluice
from loadtests.suite.sampler import Sampler

MAX_TOKENS = 192
KV_CACHE, SPARE_SEQUENCES = "768MiB", 24


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.concurrency", description=__doc__)
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what Sluice serves")
    root.add_argument("--streams", type=int, default=1000, help="at once (default: 1000; 0: leave this part out)")
    root.add_argument("--minutes", type=float, default=5.0, help="that they are held")
    root.add_argument("--idle", type=int, default=10_000, help="keep-alive connections (default: 10000; 0: leave out)")
    root.add_argument("--door", choices=("own", "haproxy"), default="own", help="for all of them (default: own)")
    root.add_argument("--hold", type=float, default=60.0, help="seconds that they are idle")
    root.add_argument("--keep-alive", type=int, help="gateway.keep_alive_s (default: as configured)")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/concurrency-<date>.json)")
    root.add_argument("--seed", type=int, default=1)
    return root


def prepared(config: Path, keep_alive_s: int | None) -> dict[str, Any]:
    """The configuration, with another keep-alive if one is given."""
    raw: dict[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8"))
    if keep_alive_s is not None:
        raw.setdefault("gateway", {})["keep_alive_s"] = keep_alive_s
    return raw


def main() -> None:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, before, version = time.strftime("%Y-%m-%dT%H:%M:%S%z"), machine(), commit()
    held: Streams | None = None
    idle: Connections | None = None
    with tempfile.TemporaryDirectory(prefix="sluice-concurrency-") as folder:
        engine = {"kv_cache_memory": KV_CACHE, "max_num_seqs": max(1, arguments.streams) + SPARE_SEQUENCES}
        haproxy = arguments.door == "haproxy"
        base = Path(folder) / "base.yaml"
        base.write_text(yaml.safe_dump(prepared(arguments.config, arguments.keep_alive)), encoding="utf-8")
        server = start_sluice(base, Path(folder) / "sluice", haproxy=haproxy, engine=engine)
        try:
            management = load(Path(folder) / "sluice" / "sluice.yaml").gateway.management
            url = f"http://{management.host}:{management.port}"
            door = Door(HOST, server.ports[arguments.door], server.model, server.key)
            look = looking(url, server.pids)
            if arguments.streams:
                sampler = Sampler(url, server.pids)
                seconds = arguments.minutes * 60
                held = uvloop.run(streams(door, look, sampler, arguments.streams, seconds, MAX_TOKENS, arguments.seed))
                print(msgspec.json.format(msgspec.json.encode(held)).decode(), flush=True)
            if arguments.idle:
                idle = uvloop.run(connections(door, look, arguments.idle, arguments.hold, arguments.seed + 500))
                print(msgspec.json.format(msgspec.json.encode(idle)).decode(), flush=True)
        finally:
            server.stop()
        results = Results(
            schema=SCHEMA,
            started=started,
            command=without_paths(["python", "-m", "loadtests.concurrency", *sys.argv[1:]], {str(ROOT): "."}),
            seed=arguments.seed,
            commit=version,
            machine=before,
            versions=versions(),
            config=without_paths(server.settings, {str(ROOT): ".", folder: "<scratch>"}),
            streams=held,
            connections=idle,
        )
    out = arguments.out or ROOT / "loadtests" / "results" / f"concurrency-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    write(results, out)
    print(f"written to {out}")
    sys.exit(int(not all(part.met for part in (held, idle) if part is not None)))


if __name__ == "__main__":
    main()

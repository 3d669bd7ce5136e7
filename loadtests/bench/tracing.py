"""`python -m loadtests.bench.tracing`: what traces cost. Two Sluices, one that keeps none and one that samples, in interleaved
pairs; while one is measured every process of the other is stopped. Prints the ratios, writes one JSON file.
"""

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from loadtests.arithmetic import Spread, paired_ratios, spread
from loadtests.bench.__main__ import ROOT, commit, versions
from loadtests.bench.plan import HEADLINE, MAX_TOKENS, WARM_UP
from loadtests.bench.probe import Door, Point, Shot, idle_of, machine, shoot
from loadtests.bench.results import Sample
from loadtests.servers import Server, start_sluice

OFF: Final = "traces off"
IDLE_S: Final = 5.0
BAR: Final = 0.98


class Cost(msgspec.Struct, frozen=True):
    """`requests_per_s` and `front_us` are ratios of on over off, one for each pair; `received` bytes came to the receiver."""

    started: str
    commit: str
    machine: dict[str, str]
    versions: dict[str, str]
    seed: int
    streams: int
    ratio: float
    requests_per_s: Spread
    front_us: Spread
    bar: float
    met: bool
    received: int
    samples: list[Sample]


class Sink:
    """Takes OTLP over HTTP and throws it away; a collector's own work is no part of ours."""

    def __init__(self) -> None:
        sink = self
        self.received = 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the server's own name for it
                sink.received += len(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def measure(
    base: Path, folder: Path, ratio: float, pairs: int, requests: int, seed: int, say: Callable[[str], None]
) -> Cost:
    """Starts both, and stops them again."""
    before, started, sink = machine(), time.strftime("%Y-%m-%dT%H:%M:%S%z"), Sink()
    on = f"traces at {ratio:g}"
    servers: dict[str, Server] = {}
    samples: list[Sample] = []
    try:
        for side, telemetry in ((OFF, {}), (on, {"endpoint": sink.url, "protocol": "http", "ratio": ratio})):
            say(f"starting Sluice with {side}")
            servers[side] = start_sluice(_base(base, folder, telemetry), folder / side.replace(" ", "-"), haproxy=False)
        for side in servers:
            _alone(servers, side, Point(side, HEADLINE, 4 * HEADLINE, WARM_UP, seed, MAX_TOKENS), {})
        idle = idle_of(servers, IDLE_S)
        for pair in range(pairs):
            point = Point("tracing", HEADLINE, requests, pair, seed + 1000 * (pair + 1), MAX_TOKENS)
            sides = list(servers) if pair % 2 == 0 else list(reversed(servers))
            both = {side: _alone(servers, side, point, idle[side]).sample for side in sides}
            samples += [both[OFF], both[on]]
            say(f"pair {pair + 1}: requests/s {both[OFF].requests_per_s:.1f} off, {both[on].requests_per_s:.1f} on")
    finally:
        for server in servers.values():
            server.stop()
        sink.close()
    off, kept = samples[::2], samples[1::2]
    rates = spread(paired_ratios([s.requests_per_s for s in kept], [s.requests_per_s for s in off]))
    fronts = spread(paired_ratios([s.front_us for s in kept], [s.front_us for s in off]))
    met = rates.median >= BAR and sink.received > 0
    return Cost(
        started, commit(), before, versions(), seed, HEADLINE, ratio, rates, fronts, BAR, met, sink.received, samples
    )


def _base(base: Path, folder: Path, traces: dict[str, Any]) -> Path:
    raw = yaml.safe_load(base.read_text(encoding="utf-8"))
    raw["telemetry"] = {"traces": traces}
    made = folder / f"{'on' if traces else 'off'}.yaml"
    made.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return made


def _alone(servers: dict[str, Server], side: str, point: Point, idle: Any) -> Shot:
    """One load while the other system stands still."""
    others = [server for name, server in servers.items() if name != side]
    for other in others:
        other.freeze()
    try:
        return shoot(Door(side, servers[side], servers[side].ports["own"], idle), point)
    finally:
        for other in others:
            other.thaw()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m loadtests.bench.tracing")
    arguments.add_argument("--ratio", type=float, default=0.01, help="of requests sampled (default: 0.01)")
    arguments.add_argument("--pairs", type=int, default=5)
    arguments.add_argument("--requests", type=int, default=768, help="in each half of a pair (default: 768)")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml")
    arguments.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/tracing-<date>.json)")
    asked = arguments.parse_args()
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="sluice-tracing-") as folder:
        cost = measure(asked.config, Path(folder), asked.ratio, asked.pairs, asked.requests, asked.seed, say)
    out = asked.out or ROOT / "loadtests" / "results" / f"tracing-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    out.write_text(json.dumps(msgspec.to_builtins(cost), indent=1) + "\n", encoding="utf-8")
    print(
        f"requests/s with traces over without: {cost.requests_per_s.median:.3f} (bar {BAR}): {'met' if cost.met else 'missed'}"
    )
    print(f"front-end CPU per token: {cost.front_us.median:.3f}; {cost.received} bytes of spans; written to {out}")


if __name__ == "__main__":
    main()

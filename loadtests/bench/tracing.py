"""What traces cost: two Sluices, one that keeps none and one that samples, in many short interleaved pairs; while one is measured
every process of the other is stopped. A part of `make bench`; `python -m loadtests.bench.tracing` measures it alone.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import yaml

from loadtests.arithmetic import median_interval, paired_ratios, spread
from loadtests.bench import alone
from loadtests.bench.plan import HEADLINE, MAX_TOKENS, WARM_UP, Plan
from loadtests.bench.probe import Door, Point, Shot, idle_of, shoot
from loadtests.bench.results import Sample, Tracing
from loadtests.servers import Server, start_sluice

OFF: Final = "traces off"
ON: Final = "traces on"
IDLE_S: Final = 5.0
RATIO: Final = 0.01
REQUESTS: Final = 320
"""In each half of a pair: some seconds, so that both halves meet the same machine."""


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


def tracing(
    base: Path, folder: Path, pairs: int, seed: int, say: Callable[[str], None], ratio: float = RATIO
) -> Tracing:
    """Starts both, and stops them again. Raises RuntimeError if no span came."""
    sink = Sink()
    servers: dict[str, Server] = {}
    samples: list[Sample] = []
    try:
        for side, traces in ((OFF, {}), (ON, {"endpoint": sink.url, "protocol": "http", "ratio": ratio})):
            servers[side] = start_sluice(_base(base, folder, traces), folder / side.replace(" ", "-"), haproxy=False)
        for side in servers:
            _alone(servers, side, Point(side, HEADLINE, 4 * HEADLINE, WARM_UP, seed, MAX_TOKENS), {})
        idle = idle_of(servers, IDLE_S)
        for pair in range(pairs):
            point = Point("tracing", HEADLINE, REQUESTS, pair, seed + 1000 * (pair + 1), MAX_TOKENS)
            sides = (OFF, ON) if pair % 2 == 0 else (ON, OFF)
            both = {side: _alone(servers, side, point, idle[side]).sample for side in sides}
            samples += [both[OFF], both[ON]]
            say(f"pair {pair + 1}: requests/s {both[OFF].requests_per_s:.1f} off, {both[ON].requests_per_s:.1f} on")
    finally:
        for server in servers.values():
            server.stop()
        sink.close()
    if not sink.received:
        raise RuntimeError("no span came to the receiver: nothing was measured")
    return compared(samples, ratio, sink.received)


def compared(samples: list[Sample], ratio: float, received: int) -> Tracing:
    """`samples`: of each pair the one without traces, then the one with them."""
    off, on = samples[::2], samples[1::2]
    rates = paired_ratios([s.requests_per_s for s in on], [s.requests_per_s for s in off])
    cpu = paired_ratios([s.front_us + s.core_us for s in on], [s.front_us + s.core_us for s in off])
    return Tracing(
        ratio=ratio,
        streams=HEADLINE,
        requests=REQUESTS,
        received=received,
        requests_per_s=spread(rates),
        requests_interval=median_interval(rates),
        cpu=spread(cpu),
        cpu_interval=median_interval(cpu),
        samples=samples,
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
    from loadtests.bench.bars import bars
    from loadtests.bench.table import tracing_line

    arguments = alone.parser("tracing")
    arguments.add_argument("--ratio", type=float, default=RATIO, help="of requests sampled (default: 0.01)")
    arguments.add_argument("--pairs", type=int, default=Plan().tracing_pairs)
    asked = arguments.parse_args()
    cost = alone.measured(
        "tracing", asked, lambda folder, say: tracing(asked.config, folder, asked.pairs, asked.seed, say, asked.ratio)
    )
    (bar,) = bars([], tracing=cost)
    print(f"{tracing_line(cost)}: {bar.verdict}")


if __name__ == "__main__":
    main()

"""What it costs to tell of one request and to look at it for drift, and a console that nobody watches; `pytest -s` shows the
figures.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.sdk.trace import SpanProcessor

from gateway.config import Config
from gateway.config.drift import Drift
from gateway.config.telemetry import Traces
from gateway.console.callers import Callers
from gateway.console.history import Gauges, History
from gateway.console.recent import Recent
from gateway.drift.features import Seen, sample
from gateway.drift.monitor import Monitor
from gateway.drift.watch import rules_of
from gateway.pool.leg import Leg
from gateway.telemetry.step_metrics import BOUNDS
from gateway.telemetry.telemetry import Telemetry
from gateway.telemetry.tracing import Tracing
from tests.gateway.telemetry.records import leg, record

CHAT = "/v1/chat/completions"
STAGES = ("auth", "limits", "receive", "validate", "guard", "limits", "admission", "render", "finish")
HEADERS = [(name, b"x") for name in (b"host", b"authorization", b"content-type", b"content-length", b"accept")]
REQUESTS, ROUNDS = 1000, 5
REQUEST_US, TICK_US, TRACE_US, LOOK_US, COMPARE_US = 200.0, 1000.0, 4000.0, 3000.0, 500_000.0
"""Bounds that a busy machine keeps: an idle one needs a tenth."""


def best_us(work: Callable[[], object], times: int) -> float:
    """CPU microseconds of each, in the quickest of ROUNDS."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(times):
            work()
        rounds.append(1e6 * (time.process_time() - begun) / times)
    return min(rounds)


def ask(telemetry: Telemetry) -> None:
    """A chat of 64 tokens, from its first byte to its last."""
    record = telemetry.recorder.begin("POST", HEADERS)
    record.path, record.model, record.priority = CHAT, "m", "standard"
    record.key, record.tenant, record.tier = "abcdefgh", "acme", "standard"
    for stage in STAGES:
        record.mark(stage)
    at = time.monotonic()
    leg = Leg("engine-1", 1, 40, [7] * 64, 0, asked=at, sent=at)
    leg.began(at + 0.01, at + 0.01, 0)
    leg.over("length", at + 0.5)
    record.legs = [leg]
    telemetry.recorder.end(record, 200, None, complete=True)


@pytest.mark.asyncio
async def test_telling_of_a_request_costs_microseconds(tmp_path: Path) -> None:
    model = {"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}
    telemetry = Telemetry(
        Config.model_validate({"state_dir": str(tmp_path), "models": [model]}), "g", ["m"], frozenset({CHAT})
    )
    without = best_us(lambda: ask(telemetry), REQUESTS)
    telemetry.recorder.on_end += [Recent().ended, History(dict).ended, Callers().ended]
    whole = best_us(lambda: ask(telemetry), REQUESTS)
    telemetry.close()
    sys.stdout.write(
        f"record, metrics and log: {without:.1f} µs of CPU for each request; with the console: {whole:.1f} µs\n"
    )
    assert whole < REQUEST_US


def test_a_console_that_nobody_watches_costs_microseconds_every_two_seconds() -> None:
    gaps = [(bound, 1.0) for bound in BOUNDS]
    history = History(lambda: {"m": Gauges(1, 0, 0.5, gaps)})
    tick = best_us(lambda: history.tick(time.monotonic(), time.time()), 200)
    sys.stdout.write(f"a point of the console's history: {tick:.1f} µs of CPU for each model\n")
    assert tick < TICK_US


def test_a_trace_that_is_kept_costs_little_of_the_event_loops_time() -> None:
    tracing = Tracing(Traces(), "s", "i", SpanProcessor())
    made = record(leg(), sampled=True)
    trace = best_us(lambda: tracing.end(made), 200)
    tracing.close()
    sys.stdout.write(f"a trace that is kept: {trace:.0f} µs of CPU on the event loop\n")
    assert trace < TRACE_US


def test_drift_costs_its_thread_little() -> None:
    monitor = Monitor(rules_of(Drift(learn_s=0)), np.random.default_rng(1))
    seen = Seen("please summarize the notes of the meeting " * 40, "Here you are.", 400, 64, "stop")
    now = iter(range(100_000))

    def look() -> None:
        at = 0.01 * next(now)
        monitor.add("v1", sample(seen, at), at)

    one = best_us(look, 200)
    whole = best_us(lambda: monitor.evaluate(10.0), 1)
    assert monitor.evaluate(10.0)[0].distances
    sys.stdout.write(f"drift: {one:.0f} µs to look at a request, {whole / 1e3:.0f} ms to compare a model's version\n")
    assert one < LOOK_US
    assert whole < COMPARE_US

"""What all limits together cost a request, with the in-process store: from the door to settlement, without its work.

    python -m loadtests.bench.limits [--out FILE]

One window of the address, one of the key and two of the tenant; budgets per minute, hour and day for key and tenant. The request
is refused nothing; it gets its headers and TOKENS tokens, one at a time, and its settlement is told to the store.
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry

from gateway.auth.keys import Principal
from gateway.config.limits import Limits
from gateway.http.metering import Meters
from gateway.limits.opening import open_limiter, policies
from gateway.limits.verdict import Reason
from gateway.telemetry.limit_metrics import LimitMetrics, StoreReading
from loadtests.bench.__main__ import commit
from loadtests.bench.probe import machine

BOUND_US = 150.0
TOKENS = 150
PERIODS = ("minute", "hour", "day")
SETTINGS = {
    "address": ["100000000/minute"],
    "tiers": {
        "gold": {
            "requests": {"key": ["100000000/minute"], "tenant": ["100000000/minute", "1000000000/day"]},
            "tokens": [{"scope": s, "limit": 10**12, "per": per} for s in ("key", "tenant") for per in PERIODS],
        }
    },
}


class Cost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """CPU microseconds of this process: the best of several rounds, for a request and for each of its tokens."""

    request_us: float
    token_us: float
    rounds: list[float]


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    started: str
    command: list[str]
    commit: str
    machine: dict[str, str]
    tokens: int
    bound_us: float
    cost: Cost


async def measure(requests: int = 2000, rounds: int = 5) -> Cost:
    whole = [await _round(requests, TOKENS) for _ in range(rounds)]
    bare = min([await _round(requests, 0) for _ in range(rounds)])
    return Cost(min(whole), (min(whole) - bare) / TOKENS, whole)


async def _round(requests: int, tokens: int) -> float:
    """CPU microseconds for each request."""
    settings = Limits.model_validate(SETTINGS)
    limiter = open_limiter(settings, 1)
    watcher = LimitMetrics(CollectorRegistry(), ("gold",), tuple(Reason), lambda: StoreReading(limits=True, audit=True))
    meters = Meters(limiter, policies(settings), (), watcher)
    callers = [Principal(f"k{n}", f"t{n % 10}", "gold", frozenset()) for n in range(50)]
    scopes = [{"client": (f"203.0.113.{n % 200}", 1), "headers": [(b"host", b"sluice")]} for n in range(200)]
    limiter.open()
    began = time.process_time()
    for number in range(requests):
        with meters.meter(scopes[number % 200]) as meter:
            await meter.arrive()
            await meter.enter(callers[number % 50])
            assert await meter.check("m", 200)
            assert await meter.reserve(100, 200) is None
            meter.started()
            assert meter.headers
            for _ in range(tokens):
                assert meter.spend(1) is None
        if number % 20 == 0:
            await asyncio.sleep(0)
    await limiter.close()
    return (time.process_time() - began) / requests * 1e6


def main() -> None:
    arguments = argparse.ArgumentParser(prog="python -m loadtests.bench.limits")
    arguments.add_argument("--out", type=Path)
    out = arguments.parse_args().out
    started, where = time.strftime("%Y-%m-%dT%H:%M:%S%z"), machine()
    cost = asyncio.run(measure())
    print(f"limits: {cost.request_us:.0f} µs of CPU per request of {TOKENS} tokens (at most {BOUND_US:.0f})")
    print(f"of that {cost.token_us:.2f} µs per token")
    if out is not None:
        command = ["python", "-m", "loadtests.bench.limits", *sys.argv[1:]]
        results = Results(1, started, command, commit(), where, TOKENS, BOUND_US, cost)
        out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    sys.exit(cost.request_us > BOUND_US)


if __name__ == "__main__":
    main()

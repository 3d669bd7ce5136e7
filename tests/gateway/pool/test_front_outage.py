"""A gateway whose Redis stalls, goes and comes back under traffic."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from loadtests.redis_server import RedisServer, start_redis, stop_redis
from tests.gateway.pool.full_fronts import CHAT
from tests.gateway.pool.limited_fronts import Limited, limited
from tests.gateway.pool.scripted import TOKEN
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT_MS = 500
TIERS: dict[str, Any] = {
    "limited": {
        "requests": {"key": ["1000/day"]},
        "tokens": [{"scope": "tenant", "limit": 1000, "per": "lifetime"}],
    }
}


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    stop_redis(server)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> AsyncIterator[Limited]:
    settings = {"redis": redis.url, "timeout_ms": TIMEOUT_MS, "share": 0.5, "tiers": TIERS}
    async with limited(tmp_path_factory.mktemp("outage"), **settings) as running:
        yield running


async def used(front: Limited, tenant: str) -> float:
    rules = front.app.door.meters.policies.of("limited").tokens
    from gateway.limits.policy import Subject

    (tokens,) = await front.app._gate.limiter.budgets.used(tenant, [rule.claim(Subject("", tenant)) for rule in rules])
    return tokens


async def becomes(front: Limited, tenant: str, tokens: float) -> None:
    deadline = time.monotonic() + 5
    while (now := await used(front, tenant)) != tokens:
        assert time.monotonic() < deadline, now
        await asyncio.sleep(0.02)


async def test_a_stalled_redis_delays_no_running_stream_and_no_request_by_more_than_its_timeout(
    front: Limited, redis: RedisServer
) -> None:
    client, core = front.of("limited", "stalled"), front.engine.core
    first = asyncio.Event()
    gaps: list[float] = []

    async def stream() -> None:
        body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 400, "stream": True}
        async with client.stream("POST", CHAT, json=body) as reply:
            last = None
            async for _ in reply.aiter_raw():
                now = time.monotonic()
                if last is not None:
                    gaps.append(now - last)
                last = now
                first.set()

    running = asyncio.create_task(stream())
    request_id = await front.asked()
    prompt = len(core.requests[request_id].prompt_token_ids)
    core.say(request_id)
    await first.wait()

    async def speak() -> None:
        for _ in range(20):
            core.say(request_id)
            await asyncio.sleep(0.02)

    os.kill(redis.process.pid, signal.SIGSTOP)
    waits = []
    try:
        speaking = asyncio.create_task(speak())
        for _ in range(20):
            begun = time.monotonic()
            assert (await client.get("/v1/models")).status_code == 200
            waits.append(time.monotonic() - begun)
        await speaking
        status = (await front.http.get(f"{front.management}/status")).json()
        ready = (await front.http.get(f"{front.management}/readyz")).json()
        assert "shared store" in status["limits"]["problem"]
        assert ready["status"] == "ok"
        assert "shared store" in ready["warnings"][0]
        assert max(gaps) < TIMEOUT_MS / 1000
        assert waits[0] < 3 * TIMEOUT_MS / 1000
        assert max(waits[1:]) < TIMEOUT_MS / 1000
        # Its own share of what it last knew to be left: one half of 1000, less one half of what is reserved.
        asking = front.ask(client, CHAT, max_tokens=300)
        assert (await asking).status_code == 429
        asking = front.ask(client, CHAT, max_tokens=100)
        await soon(lambda: front.engine.outlet.in_flight == 2, 5, "served by the gateway's own share")
        (other,) = {one.request_id for one in front.engine.outlet._owned.values()} - {request_id}
        core.say(other, tokens=[TOKEN] * 9)
        await front.answered(asking, tokens=1)
        await running
    finally:
        os.kill(redis.process.pid, signal.SIGCONT)
    await soon(lambda: front.app._gate.limiter.problem is None, 10, "Redis is asked again")
    # The stream: its prompt, 21 and the last; the other one: its prompt, 9 and the last.
    await becomes(front, "stalled", 2 * prompt + 22 + 10)


async def test_a_redis_that_dies_and_comes_back_under_traffic_misses_no_token(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    port = server.url.rsplit(":", 1)[1]
    settings = {"redis": server.url, "timeout_ms": TIMEOUT_MS, "tiers": TIERS}
    async with limited(tmp_path, **settings) as front:
        client = front.of("limited", "gone")
        assert (await front.answered(front.ask(client, CHAT), tokens=5)).status_code == 200
        stop_redis(server)
        for _ in range(3):
            assert (await front.answered(front.ask(client, CHAT), tokens=5)).status_code == 200
        server = start_redis(tmp_path, int(port))
        try:
            await soon(lambda: front.app._gate.limiter.problem is None, 10, "Redis is asked again")
            assert (await front.answered(front.ask(client, CHAT), tokens=5)).status_code == 200
            prompt = len(next(iter(front.engine.core.requests.values())).prompt_token_ids)
            # The first is forgotten with the Redis that had counted it: it kept nothing on its disk.
            await becomes(front, "gone", 4 * (prompt + 5))
        finally:
            stop_redis(server)


async def test_without_its_store_a_gateway_may_be_told_to_refuse(tmp_path: Path) -> None:
    server = start_redis(tmp_path)
    settings = {"redis": server.url, "timeout_ms": TIMEOUT_MS, "outage": "refuse", "tiers": TIERS}
    async with limited(tmp_path, **settings) as front:
        stop_redis(server)
        client = front.of("limited")
        reply = await front.ask(client, CHAT)
        assert (reply.status_code, reply.headers["x-sluice-reason"]) == (503, "limits_unavailable")
        assert int(reply.headers["retry-after"]) >= 1
        # Whom nothing limits, nothing stops.
        assert (await front.answered(front.ask(front.of("standard"), CHAT))).status_code == 200

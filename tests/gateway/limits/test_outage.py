"""A shared store that stalls or goes: nobody waits for it, what it limits stays in bounds, and it is told what it missed."""

import asyncio
import os
import secrets
import signal
import time

import pytest

from gateway.limits.limiter import Limiter, Settings, Shared
from gateway.limits.policy import Policy, Subject, TokenRule, window_rules
from gateway.limits.redis_budgets import RedisBudgets, connections
from gateway.limits.store import StoreUnavailable
from gateway.limits.verdict import Permit, Reason, Refused
from gateway.limits.windows import RedisWindows
from tests.waiting import soon

TIMEOUT = 0.1
ADA = Subject("k1", "acme")
EVER = TokenRule("tenant", 1000, "lifetime")
TOKENS = Policy((), (EVER,))
REQUESTS = Policy(window_rules("key", ["1000/day"]))


def gateway(url: str, prefix: str = "sluice", timeout_s: float = TIMEOUT, **settings) -> Limiter:
    pool = connections(url)
    shared = Shared(RedisWindows(url, pool, timeout_s, prefix), RedisBudgets(pool, timeout_s, prefix))
    limiter = Limiter(shared, Settings(**{"retry_s": 0.1, **settings}))
    limiter.open()
    return limiter


async def used(limiter: Limiter) -> float:
    (tokens,) = await limiter.budgets.used("acme", [EVER.claim(ADA)])
    return tokens


async def becomes(limiter: Limiter, tokens: float) -> None:
    deadline = time.monotonic() + 5
    while (now := await used(limiter)) != tokens:
        assert time.monotonic() < deadline, now
        await asyncio.sleep(0.02)


async def test_gateways_share_one_budget_and_one_window(redis_server):
    prefix = secrets.token_hex(4)
    one, other = gateway(redis_server.url, prefix), gateway(redis_server.url, prefix)
    permit = await one.reserve(ADA, TOKENS, "m", 0, 900)
    assert isinstance(await other.reserve(ADA, TOKENS, "m", 0, 200), Refused)
    with permit:
        permit.add(100)
    await becomes(other, 100)
    assert isinstance(await other.reserve(ADA, TOKENS, "m", 0, 200), Permit)
    assert (await one.enter(ADA, REQUESTS)).remaining == 999
    assert (await other.enter(ADA, REQUESTS)).remaining == 998
    await one.close()
    await other.close()


async def test_a_stalled_store_costs_one_timeout_and_then_nothing(own_redis):
    limiter = gateway(own_redis.url, share=0.5, retry_s=0.3)
    with await limiter.reserve(ADA, TOKENS, "m", 0, 100) as permit:
        permit.add(100)
    await becomes(limiter, 100)
    running = await limiter.reserve(ADA, TOKENS, "m", 0, 50)
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        first = await asyncio.gather(*(limiter.reserve(ADA, TOKENS, "m", 0, 10) for _ in range(20)))
        assert time.monotonic() - began < TIMEOUT + 0.3
        assert limiter.problem
        worst = 0.0
        for _ in range(50):
            before = time.monotonic()
            await limiter.enter(ADA, REQUESTS)
            with await limiter.reserve(ADA, TOKENS, "m", 0, 1) as permit:
                permit.add(1)
            # What the running stream does waits for nobody.
            assert running.add(1)
            worst = max(worst, time.monotonic() - before)
            await asyncio.sleep(0.01)
        assert worst < TIMEOUT
        for permit in first:
            assert isinstance(permit, Permit)
            permit.add(10)
            permit.settle()
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    await soon(lambda: limiter.problem is None, within=10)
    running.settle()
    # 100 before, 20 of 10 and 50 of 1 meanwhile, 50 of the running one.
    await becomes(limiter, 400)
    await limiter.close()


async def test_during_an_outage_each_gateway_admits_its_share_going_on_from_what_it_knew(own_redis):
    gateways = [gateway(own_redis.url, share=0.5) for _ in range(2)]
    for limiter in gateways:
        with await limiter.reserve(ADA, TOKENS, "m", 0, 200) as permit:
            permit.add(200)
    # The first has not heard of what the second used after it.
    await becomes(gateways[0], 400)
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    admitted = 0
    try:
        for limiter in gateways:
            while isinstance(permit := await limiter.reserve(ADA, TOKENS, "m", 0, 10), Permit):
                with permit:
                    permit.add(10)
                admitted += 10
            assert permit.reason is Reason.QUOTA
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    # 1000 less the 200 it knew of, and less the 400: one half of each.
    assert admitted == 400 + 300
    assert admitted + 400 <= 2 * EVER.limit
    for limiter in gateways:
        await soon(lambda: limiter.problem is None, within=10)  # noqa: B023  # awaited here
    await becomes(gateways[0], 1100)
    assert isinstance(await gateways[0].reserve(ADA, TOKENS, "m", 0, 1), Refused)
    for limiter in gateways:
        await limiter.close()


async def test_what_must_not_be_exceeded_is_refused_without_its_store(own_redis):
    limiter = gateway(own_redis.url, outage="refuse")
    assert isinstance(await limiter.reserve(ADA, TOKENS, "m", 0, 1), Permit)
    own_redis.process.kill()
    own_redis.process.wait()
    for _ in range(2):
        refused = await limiter.reserve(ADA, TOKENS, "m", 0, 1)
        assert (refused.reason, refused.retry_after_s) == (Reason.STORE, 0.1)
        assert (await limiter.enter(ADA, REQUESTS)).reason is Reason.STORE
    with pytest.raises(StoreUnavailable):
        await limiter.budgets.reserve("acme", "leak", [EVER.claim(ADA)], 1, 60)
    # Whom no rule limits the outage does not concern.
    assert isinstance(await limiter.reserve(ADA, Policy(), "m", 0, 1), Permit)
    await limiter.close()


async def test_a_store_that_is_not_there_at_the_start_is_taken_up_when_it_comes(own_redis):
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    limiter = gateway(own_redis.url)
    try:
        with await limiter.reserve(ADA, TOKENS, "m", 0, 70) as permit:
            permit.add(70)
    finally:
        os.kill(own_redis.process.pid, signal.SIGCONT)
    await soon(lambda: limiter.problem is None, within=10)
    await becomes(limiter, 70)
    await limiter.close()


async def test_a_client_that_leaves_while_its_tokens_are_reserved_leaves_nothing_behind(own_redis):
    limiter = gateway(own_redis.url)
    await limiter.reserve(ADA, TOKENS, "m", 0, 0)
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    reserving = asyncio.ensure_future(limiter.reserve(ADA, TOKENS, "m", 0, 800))
    await asyncio.sleep(TIMEOUT / 4)
    reserving.cancel()
    await asyncio.gather(reserving, return_exceptions=True)
    os.kill(own_redis.process.pid, signal.SIGCONT)
    await becomes(limiter, 0)
    await limiter.close()

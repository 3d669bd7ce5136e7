"""Many gateways, as real processes on one real Redis: the bound on what they admit together holds."""

import os
import secrets
import signal
import subprocess
import sys
import time

from gateway.limits.policy import Subject, TokenRule
from gateway.limits.redis_budgets import RedisBudgets, connections

GATEWAYS = 4
LIMIT = 5000
EVER = TokenRule("tenant", LIMIT, "lifetime")
CLAIM = EVER.claim(Subject("k", "acme"))

GATEWAY = """
import asyncio, random, sys
from gateway.limits.limiter import Limiter, Settings, Shared
from gateway.limits.policy import Policy, Subject, TokenRule
from gateway.limits.redis_budgets import RedisBudgets, connections
from gateway.limits.verdict import Permit
from gateway.limits.windows import RedisWindows

url, prefix, seed, limit, share = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
chance = random.Random(seed)
RULES = Policy((), (TokenRule("tenant", limit, "lifetime"),))


async def request(limiter):
    most = chance.randrange(1, 60)
    permit = await limiter.reserve(Subject("k", "acme"), RULES, "m", 5, most)
    if not isinstance(permit, Permit):
        return 0
    with permit:
        permit.add(5)
        await asyncio.sleep(0)
        permit.add(chance.randrange(0, most + 1))
    return permit.used


async def main():
    pool = connections(url)
    limiter = Limiter(Shared(RedisWindows(url, pool, 0.5, prefix), RedisBudgets(pool, 0.5, prefix)), Settings(share=share))
    limiter.open()
    print("open", flush=True)
    sys.stdin.readline()
    total, idle = 0, 0
    while idle < 3:
        used = sum(await asyncio.gather(*(request(limiter) for _ in range(8))))
        total, idle = total + used, 0 if used else idle + 1
        await asyncio.sleep(0)
    print(total, flush=True)
    sys.stdin.readline()
    await limiter.close()

asyncio.run(main())
"""

HOLDER = """
import asyncio, sys
from gateway.limits.policy import Subject, TokenRule
from gateway.limits.redis_budgets import RedisBudgets, connections

async def main():
    store = RedisBudgets(connections(sys.argv[1]), 1.0, sys.argv[2])
    claim = TokenRule("tenant", int(sys.argv[3]), "lifetime").claim(Subject("k", "acme"))
    await store.reserve("acme", "mine", [claim], 3000, 1.0)
    await store.renew("acme", {"mine": 40}, 1.0)
    print("held", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def started(url: str, prefix: str) -> list[subprocess.Popen[str]]:
    gateways = [
        subprocess.Popen(
            [sys.executable, "-c", GATEWAY, url, prefix, str(seed), str(LIMIT), str(1 / GATEWAYS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(GATEWAYS)
    ]
    assert [process.stdout.readline() for process in gateways if process.stdout] == ["open\n"] * GATEWAYS
    return gateways


def tell(gateways: list[subprocess.Popen[str]]) -> None:
    for process in gateways:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def totals(gateways: list[subprocess.Popen[str]]) -> list[int]:
    return [int(process.stdout.readline()) for process in gateways if process.stdout]


def ended(gateways: list[subprocess.Popen[str]]) -> bool:
    return [process.communicate(timeout=30) and process.returncode for process in gateways] == [0] * GATEWAYS


async def known(url: str, prefix: str) -> float:
    store = RedisBudgets(connections(url), 1.0, prefix)
    (used,) = await store.used("acme", [CLAIM])
    await store.close()
    return used


async def test_with_its_store_a_budget_is_never_exceeded(redis_server):
    prefix = secrets.token_hex(4)
    gateways = started(redis_server.url, prefix)
    tell(gateways)
    used = totals(gateways)
    tell(gateways)
    assert ended(gateways)
    assert all(used)
    # What is left is less than the least that eight at once may be refused.
    assert LIMIT - 8 * 65 <= sum(used) <= LIMIT
    assert await known(redis_server.url, prefix) == sum(used)


async def test_without_its_store_each_admits_its_share_and_the_store_learns_of_it(own_redis):
    gateways = started(own_redis.url, "sluice")
    os.kill(own_redis.process.pid, signal.SIGSTOP)
    tell(gateways)
    used = totals(gateways)
    os.kill(own_redis.process.pid, signal.SIGCONT)
    tell(gateways)
    assert ended(gateways)
    assert all(LIMIT / GATEWAYS - 8 * 65 <= one <= LIMIT / GATEWAYS for one in used)
    assert await known(own_redis.url, "sluice") == sum(used)


async def test_what_a_killed_gateway_held_comes_back(redis_server):
    prefix = secrets.token_hex(4)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, redis_server.url, prefix, str(LIMIT)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.communicate()
    assert await known(redis_server.url, prefix) == 3000
    deadline = time.monotonic() + 5
    while await known(redis_server.url, prefix) != 40:
        assert time.monotonic() < deadline

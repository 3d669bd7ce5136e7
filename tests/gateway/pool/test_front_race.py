"""R14 against two whole gateways that share one Redis: what clients got, what the meter says, and the bound (decision 0011)."""

import shutil
from pathlib import Path

from gateway.auth.store import KeyStore
from gateway.limits.policy import Subject, TokenRule
from loadtests.redis_server import RedisServer
from loadtests.redteam.race import race
from tests.gateway.limits.conftest import own_redis
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.waiting import soon

__all__ = ["own_redis"]

BUDGET = 4000

CLAIM = TokenRule("tenant", BUDGET, "day").claim(Subject("", "racer"))


async def test_two_gateways_give_no_token_more_than_the_budget_that_they_share(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    limits = {
        "redis": own_redis.url,
        "timeout_ms": 5000,
        "default": {"tokens": [{"scope": "tenant", "limit": BUDGET, "per": "day"}]},
    }
    fronts = [Front(tmp_path / name, automatic=True, limits=limits) for name in "ab"]
    _, key = KeyStore(fronts[0].config.keys_file).create(name="r", tenant="racer", now=0)
    shutil.copy(fronts[0].config.keys_file, fronts[1].config.keys_file)
    for front in fronts:
        await front.open()
    try:
        ports = [int(front.url.rpartition(":")[2]) for front in fronts]
        tally = await race(ports, SPEC.name, key, 1, processes=2, streams=8, rounds=4)
        limiters = [front.app._gate.limiter for front in fronts]
        for limiter in limiters:
            await soon(lambda limiter=limiter: not limiter.open_reservations, 10, "every stream settled")
            await limiter._settlement.flush()
            assert limiter.problem is None
        (used,) = await limiters[0].budgets.used("racer", [CLAIM])
    finally:
        for front in fronts:
            await front.close()
    assert set(tally.refusals) == {"429 rate_limit_exceeded"}
    assert tally.prompt > 0
    assert 0.5 * BUDGET < tally.taken <= used <= BUDGET

"""The contract of token budget stores, held by each of them, and each held against the other."""

import asyncio
import secrets
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits.budgets import Budget, Refill
from gateway.limits.local_budgets import LocalBudgets
from gateway.limits.redis_budgets import RedisBudgets, connections
from gateway.limits.store import BudgetStore, Claim, Denied, Granted, StoreUnavailable

NOON = 20_000 * 86_400.0 + 43_200.0
LEASE = 60.0
MINUTE = Claim("key/k/minute", Budget(600, 60.0, Refill.SMOOTH))
DAY = Claim("key/k/day", Budget(2000, 86_400.0, Refill.FIXED))
EVER = Claim("tenant/lifetime", Budget(1000, 0.0, Refill.NEVER))
ALL = [MINUTE, DAY, EVER]
T = "acme"


def fresh(kind: str, url: str) -> BudgetStore:
    if kind == "local":
        return LocalBudgets()
    return RedisBudgets(connections(url), 5.0, prefix=secrets.token_hex(4))


@pytest.fixture(params=["local", "redis"])
async def store(request, redis_server):
    made = fresh(request.param, redis_server.url)
    yield made
    await made.close()


async def used(store, *claims, now=NOON):
    return [pytest.approx(value) for value in await store.used(T, claims or [EVER], now)]


async def test_a_reservation_takes_from_every_claim(store):
    assert await store.reserve(T, "r", ALL, 100, LEASE, NOON) == Granted((100, 100, 100))
    assert await used(store, *ALL) == [100, 100, 100]


async def test_all_claims_or_none(store):
    await store.charge(T, "c", [EVER], 950, NOON)
    assert await store.reserve(T, "r", ALL, 100, LEASE, NOON) == Denied(2, None, (0, 0, 950))
    assert await used(store, *ALL) == [0, 0, 950]


async def test_the_claim_that_stands_in_the_way_longest_is_named(store):
    await store.charge(T, "c", ALL[:2], 550, NOON)
    await store.charge(T, "d", [DAY], 1400, NOON)
    assert await store.reserve(T, "r", ALL, 100, LEASE, NOON) == Denied(1, 43_200.0, (550, 1950, 0))
    assert await store.reserve(T, "r", [MINUTE], 100, LEASE, NOON) == Denied(0, 5.0, (550,))


@pytest.mark.parametrize(("tokens", "left"), [(0, 0), (30, 30), (100, 100), (150, 150)])
async def test_a_settlement_leaves_what_was_used(store, tokens, left):
    await store.reserve(T, "r", ALL, 100, LEASE, NOON)
    await store.settle(T, {"r": tokens}, NOON)
    assert await used(store, *ALL) == [left] * 3


async def test_a_reservation_made_twice_is_made_once(store):
    assert await store.reserve(T, "r", [EVER], 100, LEASE, NOON) == Granted((100,))
    assert await store.reserve(T, "r", [EVER], 100, LEASE, NOON) == Granted((100,))


async def test_a_second_settlement_changes_nothing(store):
    await store.reserve(T, "r", [EVER], 100, LEASE, NOON)
    await store.settle(T, {"r": 40}, NOON)
    await store.settle(T, {"r": 0}, NOON)
    await store.settle(T, {"r": 900, "unknown": 900}, NOON)
    assert await used(store) == [40]


async def test_a_charge_is_made_once_and_without_asking(store):
    await store.charge(T, "c", [EVER], 1500, NOON)
    await store.charge(T, "c", [EVER], 1500, NOON)
    assert await used(store) == [1500]


async def test_what_a_dead_gateway_reserved_comes_back_but_for_what_it_told(store):
    await store.reserve(T, "dead", [EVER], 500, LEASE, NOON)
    await store.reserve(T, "told", [EVER], 500, LEASE, NOON)
    await store.renew(T, {"told": 70}, LEASE, NOON + 1)
    assert isinstance(await store.reserve(T, "r", [EVER], 1, LEASE, NOON + LEASE - 1), Denied)
    assert await used(store, now=NOON + LEASE) == [500]
    assert await store.reserve(T, "r", [EVER], 930, LEASE, NOON + LEASE + 1) == Granted((1000,))


async def test_a_renewed_reservation_stays(store):
    await store.reserve(T, "r", [EVER], 500, LEASE, NOON)
    for minute in range(10):
        await store.renew(T, {"r": minute}, LEASE, NOON + 50 * minute)
    assert await used(store, now=NOON + 500) == [500]
    await store.settle(T, {"r": 20}, NOON + 500)
    assert await used(store, now=NOON + 500) == [20]


async def test_who_settles_after_the_lease_ended_pays_all_the_same(store):
    await store.reserve(T, "r", [EVER], 500, LEASE, NOON)
    await store.renew(T, {"r": 100}, LEASE, NOON)
    assert await used(store, now=NOON + LEASE) == [100]
    await store.settle(T, {"r": 250}, NOON + LEASE)
    await store.settle(T, {"r": 250}, NOON + LEASE)
    assert await used(store, now=NOON + LEASE) == [250]


async def test_a_lease_that_ended_is_not_renewed(store):
    await store.reserve(T, "r", [EVER], 500, LEASE, NOON)
    assert await used(store, now=NOON + LEASE) == [0]
    await store.renew(T, {"r": 300}, LEASE, NOON + LEASE)
    assert await used(store, now=NOON + LEASE) == [0]


async def test_tenants_do_not_meet(store):
    await store.reserve("a", "r", [EVER], 1000, LEASE, NOON)
    assert await store.reserve("b", "r", [EVER], 1000, LEASE, NOON) == Granted((1000,))
    await store.settle("b", {"r": 1}, NOON)
    assert await store.used("a", [EVER], NOON) == (1000,)


@pytest.mark.parametrize("tenant", ["", "{a}:m:x", "späße \N{SNOWMAN}", "a" * 5000])
async def test_a_tenant_may_have_any_name(store, tenant):
    await store.reserve(tenant, "r", [EVER], 10, LEASE, NOON)
    await store.settle(tenant, {"r": 5}, NOON)
    assert await store.used(tenant, [EVER], NOON) == (5,)


async def test_without_a_time_the_clock_is_taken(store):
    smooth = Claim("m", Budget(1_000_000, 1.0, Refill.SMOOTH))
    before = time.time()
    await store.reserve(T, "r", [smooth], 1_000_000, LEASE)
    (left,) = await store.used(T, [smooth], time.time())
    assert 0 <= left <= 1_000_000
    assert left >= 1_000_000 - (time.time() - before) * 1_000_000 - 1
    assert await store.used(T, [smooth], time.time() + 1.5) == (0,)


async def test_many_at_once_get_no_more_than_there_is(store):
    answers = await asyncio.gather(*(store.reserve(T, f"r{n}", [EVER], 7, LEASE, NOON) for n in range(200)))
    assert sum(isinstance(answer, Granted) for answer in answers) == 1000 // 7
    assert await used(store) == [1000 // 7 * 7]


step = st.tuples(
    st.sampled_from(["reserve", "settle", "renew", "charge"]),
    st.integers(0, 5),
    st.integers(0, 700),
    st.sampled_from([[MINUTE], [DAY], [EVER], ALL, [EVER, MINUTE]]),
    st.floats(0, 50) | st.sampled_from([0.0, 30.0, LEASE, 43_200.0]),
)


async def run(store: BudgetStore, steps) -> list[object]:
    now, seen = NOON, []
    for what, number, tokens, claims, pause in steps:
        # Within the day for which an ended reservation is known; Redis would forget it by its own clock.
        now = min(now + pause, NOON + 80_000)
        match what:
            case "reserve":
                seen.append(await store.reserve(T, f"r{number}", claims, tokens, LEASE, now))
            case "settle":
                await store.settle(T, {f"r{number}": tokens}, now)
            case "renew":
                await store.renew(T, {f"r{number}": tokens}, LEASE, now)
            case "charge":
                await store.charge(T, f"c{number}", claims, tokens, now)
        seen.append(await store.used(T, ALL, now))
    return seen


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(st.lists(step, max_size=25))
def test_the_stores_agree_on_any_history(redis_server, steps):
    async def both() -> tuple[list[object], list[object]]:
        local, shared = fresh("local", ""), fresh("redis", redis_server.url)
        try:
            return await run(local, steps), await run(shared, steps)
        finally:
            await shared.close()

    local, shared = asyncio.run(both())
    assert [type(answer) for answer in local] == [type(answer) for answer in shared]
    for mine, theirs in zip(local, shared, strict=True):
        assert _numbers(mine) == pytest.approx(_numbers(theirs), rel=1e-9, abs=1e-3)


def _numbers(answer) -> list[float]:
    match answer:
        case Granted(used):
            return list(used)
        case Denied(claim, wait, used):
            return [claim, -1 if wait is None else wait, *used]
        case _:
            return list(answer)


async def test_a_lease_whose_reservation_redis_has_lost_stands_in_nobodys_way(redis_server):
    store, later = fresh("redis", redis_server.url), NOON + LEASE + 1
    for name in ("r", "s"):
        await store.reserve(T, name, [EVER], 100, LEASE, NOON)
    await store._redis.delete(f"{store._base(T)}open")
    assert await store.reserve(T, "t", [EVER], 100, LEASE, later) == Granted((300,))
    await store.renew(T, {"r": 50, "t": 50}, LEASE, later)
    await store.settle(T, {"s": 50, "t": 50}, later)
    assert await store.used(T, [EVER], later) == (250,)
    await store.close()


async def test_a_redis_that_is_not_there_is_unavailable(own_redis):
    own_redis.process.kill()
    own_redis.process.wait()
    store = RedisBudgets(connections(own_redis.url), 0.5)
    with pytest.raises(StoreUnavailable):
        await store.ping()
    with pytest.raises(StoreUnavailable):
        await store.reserve(T, "r", ALL, 1, LEASE)
    await store.close()

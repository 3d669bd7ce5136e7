"""Request windows in this process and in Redis: one contract."""

import asyncio
import secrets
import threading

import pytest

from gateway.limits.policy import Subject, WindowRule, window_rules
from gateway.limits.redis_budgets import connections
from gateway.limits.store import StoreUnavailable
from gateway.limits.window_memory import WindowMemory
from gateway.limits.windows import Full, LocalWindows, Passed, RedisWindows

NOON = 20_000 * 86_400.0 + 43_200.0
ADA = Subject("k1", "acme", "203.0.113.5")
BOB = Subject("k2", "acme", "203.0.113.6")
EVE = Subject("k3", "other", "203.0.113.5")


def per(scope, *rules):
    return window_rules(scope, rules)


@pytest.fixture(params=["local", "redis"])
async def windows(request, redis_server):
    if request.param == "local":
        # Redis keeps its own clock; a minute does not end within a test.
        yield LocalWindows(clock=lambda: NOON)
        return
    pool = connections(redis_server.url)
    yield RedisWindows(redis_server.url, pool, 5.0, prefix=secrets.token_hex(4))
    await pool.disconnect()


async def test_so_many_pass_and_the_next_does_not(windows):
    rules = per("key", "3/minute")
    passed = [await windows.enter(ADA, rules) for _ in range(3)]
    assert [(window.limit, window.remaining) for window in passed] == [(3, 2), (3, 1), (3, 0)]
    full = await windows.enter(ADA, rules)
    assert isinstance(full, Full)
    assert full.rule.scope == "key"
    assert 0 < full.wait_s <= 60.1
    assert 0 < full.reset_s <= 120.1


async def test_each_scope_counts_its_own(windows):
    rules = per("key", "2/minute")
    await windows.enter(ADA, rules)
    await windows.enter(ADA, rules)
    assert isinstance(await windows.enter(ADA, rules), Full)
    assert isinstance(await windows.enter(BOB, rules), Passed)
    shared = per("tenant", "2/minute")
    await windows.enter(ADA, shared)
    await windows.enter(BOB, shared)
    assert isinstance(await windows.enter(ADA, shared), Full)
    assert isinstance(await windows.enter(EVE, shared), Passed)
    address = per("address", "2/minute")
    await windows.enter(ADA, address)
    await windows.enter(EVE, address)
    assert isinstance(await windows.enter(ADA, address), Full)
    assert isinstance(await windows.enter(BOB, address), Passed)


async def test_who_is_refused_by_one_window_counts_in_none(windows):
    rules = [*per("key", "100/day"), *per("tenant", "1/minute")]
    assert isinstance(await windows.enter(ADA, rules), Passed)
    for _ in range(5):
        full = await windows.enter(ADA, rules)
        assert isinstance(full, Full)
        assert full.rule.scope == "tenant"
    passed = await windows.enter(ADA, rules[:1])
    assert passed.remaining == 98


async def test_the_tightest_window_is_told(windows):
    rules = [*per("key", "100/minute; 5/day"), *per("tenant", "50/minute")]
    assert (await windows.enter(ADA, rules)).limit == 5


async def test_a_rule_for_an_address_that_is_not_known_does_not_apply(windows):
    nobody = Subject("k", "t", None)
    for _ in range(5):
        assert await windows.enter(nobody, per("address", "1/minute")) is None


@pytest.mark.parametrize("name", ["", "a/60/1/minute", "{x}", "späße", "a b"])
async def test_an_identity_may_have_any_name(windows, name):
    rules = per("tenant", "1/minute")
    assert isinstance(await windows.enter(Subject("k", name), rules), Passed)
    assert isinstance(await windows.enter(Subject("k", name), rules), Full)
    assert isinstance(await windows.enter(Subject("k", name + "/"), rules), Passed)


async def test_a_burst_at_once_gets_no_more_than_there_is(windows):
    rules = per("key", "20/minute")
    entered = await asyncio.gather(*(windows.enter(ADA, rules) for _ in range(100)))
    assert sum(isinstance(one, Passed) for one in entered) == 20


@pytest.mark.parametrize("rule", ["", "many", "5", "5/fortnight", "x/minute"])
def test_a_rule_that_cannot_be_read_is_refused(rule):
    with pytest.raises(ValueError, match=r".*"):
        window_rules("key", [rule])


async def test_a_minute_later_there_is_room_again():
    now = NOON
    windows = LocalWindows(clock=lambda: now)
    rules = per("key", "10/minute")
    for _ in range(10):
        await windows.enter(ADA, rules)
    full = await windows.enter(ADA, rules)
    now += full.wait_s
    assert isinstance(await windows.enter(ADA, rules), Passed)
    assert isinstance(await windows.enter(ADA, rules), Full)
    now = NOON + 180
    passed = [await windows.enter(ADA, rules) for _ in range(10)]
    assert all(isinstance(one, Passed) for one in passed)


async def test_a_share_scales_every_rule_and_leaves_at_least_one():
    windows = LocalWindows(share=0.25, clock=lambda: NOON)
    assert (await windows.enter(ADA, per("key", "40/minute"))).limit == 10
    assert (await windows.enter(ADA, per("key", "2/minute"))).limit == 1


async def test_two_rules_that_are_one_by_another_name_count_a_request_once():
    windows = LocalWindows(clock=lambda: NOON)
    rules = per("key", "10/minute", "10/60 second")
    passed = [isinstance(await windows.enter(ADA, rules), Passed) for _ in range(11)]
    assert passed == [True] * 10 + [False]


async def test_counting_starts_no_threads():
    before = threading.active_count()
    windows = LocalWindows(clock=lambda: NOON)
    for _ in range(50):
        await windows.enter(ADA, per("key", "100/minute"))
    assert threading.active_count() == before


async def test_a_clock_that_is_set_back_over_a_boundary_gives_nobody_a_fresh_window():
    now = NOON + 0.3
    windows = LocalWindows(clock=lambda: now)

    async def passed() -> int:
        return sum([isinstance(await windows.enter(ADA, per("key", "10/minute")), Passed) for _ in range(20)])

    first = await passed()
    now -= 0.5
    assert await passed() == 0
    now += 0.5
    assert (first, await passed()) == (10, 0)


def test_counters_that_are_over_are_forgotten():
    now = NOON
    memory = WindowMemory(clock=lambda: now)
    for number in range(5000):
        memory.acquire_sliding_window_entry(f"k{number}", 10, 1)
        now += 0.01
    assert len(memory._counts) < 1500


async def test_a_redis_that_is_gone_is_unavailable(own_redis):
    pool = connections(own_redis.url)
    windows = RedisWindows(own_redis.url, pool, 0.5)
    rules = per("key", "5/minute")
    assert isinstance(await windows.enter(ADA, rules), Passed)
    own_redis.process.kill()
    own_redis.process.wait()
    with pytest.raises(StoreUnavailable):
        await windows.enter(ADA, rules)
    await pool.disconnect()


def test_rules_are_limits_own():
    (rule,) = per("tenant", "10 per 2 seconds")
    assert isinstance(rule, WindowRule)
    assert (rule.item.amount, rule.item.get_expiry()) == (10, 2)

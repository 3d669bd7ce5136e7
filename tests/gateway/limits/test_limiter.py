"""What one gateway admits, what a permit costs, and what is told of it."""

import asyncio

import pytest

from gateway.limits.headers import State
from gateway.limits.limiter import Limiter, Settings
from gateway.limits.policy import Policy, Subject, TokenRule, window_rules
from gateway.limits.verdict import Permit, Reason, Refused
from tests.waiting import soon

NOON = 20_000 * 86_400.0 + 43_200.0
ADA = Subject("k1", "acme")
BOB = Subject("k2", "acme")
MINUTE = TokenRule("key", 1000, "minute")
DAY = TokenRule("tenant", 1500, "day")
EVER = TokenRule("tenant", 3000, "lifetime")


def policy(*tokens: TokenRule, windows=()) -> Policy:
    return Policy(tuple(windows), tokens)


@pytest.fixture
async def limiter():
    made = Limiter(settings=Settings(chunk=100), clock=lambda: NOON)
    made.open()
    yield made
    await made.close()


async def left(limiter: Limiter, rule: TokenRule) -> float:
    (used,) = await limiter.budgets.used(ADA.tenant, [rule.claim(ADA)], NOON)
    return rule.limit - used


async def becomes(limiter: Limiter, rule: TokenRule, tokens: float) -> None:
    async def reached() -> bool:
        return await left(limiter, rule) == tokens

    for _ in range(100):
        if await reached():
            return
        await asyncio.sleep(0.01)
    assert await left(limiter, rule) == tokens


async def test_prompt_and_completion_are_reserved_and_what_was_not_used_comes_back(limiter):
    permit = await limiter.reserve(ADA, policy(MINUTE, DAY), "m", prompt=100, completion=400)
    assert isinstance(permit, Permit)
    assert permit.tokens == (1000, 500, pytest.approx(30))
    assert await left(limiter, DAY) == 1000
    with permit:
        permit.add(100)
        permit.add(50)
    await becomes(limiter, MINUTE, 850)
    await becomes(limiter, DAY, 1350)


async def test_a_request_that_fails_before_its_first_token_costs_nothing(limiter):
    permit = await limiter.reserve(ADA, policy(MINUTE), "m", 100, 400)
    with pytest.raises(ZeroDivisionError), permit:
        raise ZeroDivisionError
    await becomes(limiter, MINUTE, 1000)


async def test_a_stream_that_breaks_off_pays_for_what_it_got(limiter):
    permit = await limiter.reserve(ADA, policy(MINUTE), "m", 100, 400)

    async def stream() -> None:
        with permit:
            permit.add(107)
            await asyncio.sleep(60)

    task = asyncio.ensure_future(stream())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await becomes(limiter, MINUTE, 893)


async def test_a_permit_is_settled_once(limiter):
    first = await limiter.reserve(ADA, policy(MINUTE), "m", 100, 400)
    second = await limiter.reserve(ADA, policy(MINUTE), "m", 0, 400)
    with first:
        first.add(10)
        first.settle()
        first.add(500)
    first.settle()
    await becomes(limiter, MINUTE, 590)
    second.settle()
    await becomes(limiter, MINUTE, 990)


async def test_without_rules_nothing_is_reserved(limiter):
    permit = await limiter.reserve(ADA, policy(), "m", 10**9, None)
    assert isinstance(permit, Permit)
    with permit:
        assert permit.add(10**9)
    assert permit.tokens is None


async def test_a_rule_for_a_model_is_for_that_model(limiter):
    rules = policy(TokenRule("key", 100, "day", model="org/big"), MINUTE)
    assert isinstance(await limiter.reserve(ADA, rules, "org/big", 0, 101), Refused)
    assert isinstance(await limiter.reserve(ADA, rules, "small", 0, 101), Permit)


async def test_keys_have_their_own_budgets_and_share_their_tenants(limiter):
    rules = policy(MINUTE, DAY)
    assert isinstance(await limiter.reserve(ADA, rules, "m", 0, 1000), Permit)
    refused = await limiter.reserve(BOB, rules, "m", 0, 1000)
    assert isinstance(refused, Refused)
    assert refused.scope == "tenant"
    assert isinstance(await limiter.reserve(BOB, rules, "m", 0, 500), Permit)


@pytest.mark.parametrize(
    ("rule", "reason", "wait"),
    [(MINUTE, Reason.TOKENS, 30.0), (DAY, Reason.TOKENS, 43_200.0), (EVER, Reason.QUOTA, None)],
)
async def test_a_refusal_says_why_and_when_to_come_back(limiter, rule, reason, wait):
    await limiter.reserve(ADA, policy(rule), "m", 0, rule.limit - 100)
    refused = await limiter.reserve(ADA, policy(rule), "m", 0, 600)
    assert (refused.reason, refused.retry_after_s, refused.scope) == (reason, wait and pytest.approx(wait), rule.scope)
    assert refused.tokens.remaining == 100
    assert (b"x-ratelimit-remaining-tokens", b"100") in refused.headers


async def test_a_request_that_can_never_fit_is_told_so(limiter):
    refused = await limiter.reserve(ADA, policy(MINUTE), "m", 600, 401)
    assert (refused.reason, refused.retry_after_s) == (Reason.TOO_LARGE, None)
    assert "1001" in refused.message


async def test_windows_refuse_with_their_headers(limiter):
    rules = policy(windows=window_rules("key", ["2/minute"]))
    assert await limiter.enter(ADA, rules) == State(2, 1, 120.0)
    assert await limiter.enter(ADA, rules) == State(2, 0, 120.0)
    refused = await limiter.enter(ADA, rules)
    assert (refused.reason, refused.scope, refused.requests.remaining) == (Reason.REQUESTS, "key", 0)
    assert 0 < refused.retry_after_s <= 60.1
    assert await limiter.enter(BOB, rules) == State(2, 1, 120.0)
    assert await limiter.enter(ADA, policy()) is None


async def test_a_stream_without_a_bound_reserves_as_it_goes(limiter):
    permit = await limiter.reserve(ADA, policy(MINUTE), "m", prompt=50, completion=None)
    assert await left(limiter, MINUTE) == 850
    with permit:
        assert permit.add(50)
        for _ in range(50):
            assert permit.add(5)
            await asyncio.sleep(0)
    assert permit.used == 300
    await becomes(limiter, MINUTE, 700)


async def test_a_stream_that_meets_the_hard_limit_ends_there(limiter):
    permit = await limiter.reserve(ADA, policy(MINUTE), "m", prompt=50, completion=None)
    tokens = 50
    with permit:
        permit.add(50)
        while permit.add(1):
            tokens += 1
            await asyncio.sleep(0)
            assert tokens < 2000
    # Chunks of 100 after a prompt of 50: the last whole one ends at 950.
    assert permit.used == 950
    assert permit.exhausted is Reason.TOKENS
    await becomes(limiter, MINUTE, 50)


async def test_a_stream_that_ends_while_more_is_reserved_gives_that_back(limiter):
    permit = await limiter.reserve(ADA, policy(MINUTE), "m", prompt=0, completion=None)
    with permit:
        permit.add(60)
    await becomes(limiter, MINUTE, 940)


async def test_reservations_are_renewed_while_their_streams_run():
    limiter = Limiter(settings=Settings(lease_s=0.3))
    limiter.open()
    permit = await limiter.reserve(ADA, policy(EVER), "m", 0, 3000)
    await asyncio.sleep(0.7)
    assert isinstance(await limiter.reserve(ADA, policy(EVER), "m", 0, 1), Refused)
    permit.settle()
    await soon(lambda: not limiter._open, within=1)
    await limiter.close()


async def test_a_gateway_of_several_admits_its_share():
    limiter = Limiter(settings=Settings(share=0.25), clock=lambda: NOON)
    refused = await limiter.reserve(ADA, policy(MINUTE), "m", 0, 251)
    assert (refused.reason, "250 per minute" in refused.message) == (Reason.TOO_LARGE, True)
    assert isinstance(await limiter.reserve(ADA, policy(MINUTE), "m", 0, 250), Permit)
    assert isinstance(await limiter.reserve(ADA, policy(MINUTE), "m", 0, 1), Refused)

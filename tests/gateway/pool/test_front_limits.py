"""Limits from the HTTP port to the token channel: who is refused, what is reserved, and what is paid in the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.full_fronts import CHAT
from tests.gateway.pool.limited_fronts import ROUTES, Limited, day, limited
from tests.gateway.pool.scripted import TOKEN
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

MINUTE = [{"scope": "key", "limit": 1000, "per": "minute"}, {"scope": "tenant", "limit": 5000, "per": "day"}]
TIERS: dict[str, Any] = {
    "two": {"requests": {"key": ["2/day"]}},
    "tenant-two": {"requests": {"tenant": ["2/day"]}},
    "tiny": day(10),
    "one": day(120),
    "chunk": day(1200),
    "ample": day(10**6),
    "minute": {"tokens": MINUTE},
    "model": {"tokens": [{"scope": "key", "limit": 10, "per": "day", "model": SPEC.name}]},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Limited]:
    async with limited(tmp_path_factory.mktemp("limits"), tiers=TIERS) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(front: Limited) -> AsyncIterator[None]:
    yield
    await soon(lambda: not front.engine.outlet.in_flight and not front.backend.pool.in_flight, 5, "an idle engine")
    assert not front.app._gate.limiter._open
    assert not front.backend.front_end.llm.output_processor.request_states


def assert_refused(reply: Any, path: str, reason: str, code: str = "rate_limit_exceeded") -> None:
    assert (reply.status_code, reply.headers.get("x-sluice-reason")) == (429, reason), reply.text
    error = reply.json()["error"]
    if path == "/v1/messages":
        assert error["type"] == "rate_limit_error"
    else:
        assert error["code"] == code


@pytest.mark.parametrize("tier", ["two", "tenant-two"])
@pytest.mark.parametrize(("path", "stream"), ROUTES)
async def test_every_route_is_429_once_the_window_is_full(front: Limited, path: str, stream: bool, tier: str) -> None:
    client = front.of(tier)
    for left in (1, 0):
        reply = await front.answered(front.ask(client, path, stream))
        assert reply.status_code == 200
        assert reply.headers["x-ratelimit-limit-requests"] == "2"
        assert reply.headers["x-ratelimit-remaining-requests"] == str(left)
        assert reply.headers["x-ratelimit-reset-requests"].endswith("s")
    reply = await front.ask(client, path, stream)
    assert_refused(reply, path, "request_window")
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert (await client.get("/v1/models")).status_code == 429


async def test_what_only_reads_is_counted_too(front: Limited) -> None:
    client = front.of("two")
    assert [(await client.get("/v1/models")).status_code for _ in range(3)] == [200, 200, 429]
    assert (await client.get(f"/v1/models/{SPEC.name}")).status_code == 429


async def test_a_window_of_a_tenant_counts_all_its_keys_and_nobody_elses(front: Limited) -> None:
    keys = [front.of("tenant-two", "acme") for _ in range(3)]
    assert [(await key.get("/v1/models")).status_code for key in keys] == [200, 200, 429]
    assert (await front.of("tenant-two").get("/v1/models")).status_code == 200


@pytest.mark.parametrize(("path", "stream"), ROUTES)
async def test_what_was_reserved_and_not_used_comes_back(front: Limited, path: str, stream: bool) -> None:
    tenant = f"ample{path}{stream}"
    client = front.of("ample", tenant)
    asking = front.ask(client, path, stream)
    prompt = front.engine.core.requests[await front.asked()].prompt_token_ids
    reply = await front.answered(asking, tokens=7)
    assert await front.used(tenant) == len(prompt) + 7
    assert reply.headers["x-ratelimit-limit-tokens"] == "1000000"
    assert reply.headers["x-ratelimit-remaining-tokens"] == str(10**6 - len(prompt) - 50)


@pytest.mark.parametrize(("path", "stream"), ROUTES)
async def test_a_request_that_can_never_fit_is_told_so_before_it_waits(front: Limited, path: str, stream: bool) -> None:
    reply = await front.ask(front.of("tiny"), path, stream)
    assert_refused(reply, path, "tokens_exceed_budget")
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers
    assert reply.headers["x-ratelimit-limit-tokens"] == "10"


@pytest.mark.parametrize(("path", "stream"), ROUTES)
async def test_of_two_that_fit_one_at_a_time_the_second_is_refused(front: Limited, path: str, stream: bool) -> None:
    """At the door the exact prompt is not known yet: here all but its last token would fit."""
    client = front.of("one")
    first = front.ask(client, path)
    prompt = len(front.engine.core.requests[await front.asked()].prompt_token_ids)
    bound = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
    reply = await front.ask(client, path, stream, **{bound: 120 - 50 - prompt - prompt + 1})
    assert_refused(reply, path, "token_budget")
    assert int(reply.headers["retry-after"]) >= 1
    assert int(reply.headers["x-ratelimit-remaining-tokens"]) < 120
    assert (await front.answered(first)).status_code == 200
    assert (await front.answered(front.ask(client, path, stream))).status_code == 200


async def test_the_choices_of_a_prompt_are_reserved_and_refused_together(front: Limited) -> None:
    asking = front.ask(front.of("ample", "choices"), CHAT, n=3)
    await soon(lambda: front.engine.outlet.in_flight == 3, 5)
    prompt = len(next(iter(front.engine.core.requests.values())).prompt_token_ids)
    assert (await front.answered(asking, tokens=4)).status_code == 200
    assert await front.used("choices") == prompt + 3 * 4
    refused = await front.ask(
        front.of("one"), CHAT, n=2, max_tokens=58, messages=[{"role": "user", "content": "x" * 40}]
    )
    assert_refused(refused, CHAT, "tokens_exceed_budget")


async def test_one_of_several_prompts_that_is_refused_ends_the_others(front: Limited) -> None:
    prompts = ["x", "y" * 300]
    refused = await front.ask(front.of("one", "prompts"), "/v1/completions", prompt=prompts, max_tokens=10)
    assert_refused(refused, "/v1/completions", "tokens_exceed_budget")
    assert await front.used("prompts") <= 11


@pytest.mark.parametrize("path", [CHAT, "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_stream_that_names_no_end_is_ended_where_its_budget_ends(
    front: Limited, path: str, stream: bool
) -> None:
    tenant = f"chunk{path}{stream}"
    unbounded = dict.fromkeys(("max_tokens", "max_output_tokens"))
    asking = front.ask(front.of("chunk", tenant), path, stream, **unbounded)
    request_id = await front.asked()
    prompt = len(front.engine.core.requests[request_id].prompt_token_ids)
    assert front.engine.core.requests[request_id].sampling_params.max_tokens > 1024
    front.engine.core.say(request_id, tokens=[TOKEN] * 600)
    await soon(lambda: next(iter(front.app._gate.limiter._open)).exhausted, 5, "the next part refused")
    front.engine.core.say(request_id, tokens=[TOKEN] * 424)
    reply = await asking
    await soon(lambda: request_id in front.engine.core.aborted, 5, "the engine told")
    assert reply.status_code == 200
    if not stream:
        assert reply.headers["x-sluice-reason"] == "token_budget"
    if path == "/v1/responses":
        assert '"incomplete"' in reply.text
        assert '"max_output_tokens"' in reply.text
    else:
        choice = json.loads(reply.text.split("data: ")[-2])["choices"][0] if stream else reply.json()["choices"][0]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("length", "token_budget")
    if path == "/v1/responses" and stream:
        last = json.loads(reply.text.split("data: ")[-1])["response"]
        assert last["incomplete_details"] == {"reason": "max_output_tokens", "code": "token_budget"}
    assert await front.used(tenant) == prompt + 1024
    await soon(lambda: path in front.told("request.cut"), 5, "the audit record")
    text = (await front.http.get(f"{front.management}/metrics")).text
    assert 'sluice_limits_cut_total{reason="token_budget",tier="chunk"}' in text


@pytest.mark.parametrize(("path", "stream"), ROUTES)
async def test_who_leaves_pays_for_what_it_got(front: Limited, path: str, stream: bool) -> None:
    tenant = f"left{path}{stream}"
    asking = front.ask(front.of("ample", tenant), path, stream)
    request_id = await front.asked()
    prompt = len(front.engine.core.requests[request_id].prompt_token_ids)
    front.engine.core.say(request_id, tokens=[TOKEN] * 5)
    await soon(lambda: front.backend.pool._flights[request_id].started, 5)
    asking.cancel()
    await soon(lambda: request_id in front.engine.core.aborted, 5)
    assert await front.used(tenant) == prompt + 5


async def test_a_request_that_fails_pays_for_what_it_got_and_one_that_began_nowhere_pays_nothing(
    front: Limited,
) -> None:
    asking = front.ask(front.of("ample", "failed"), CHAT, stream=True)
    request_id = await front.asked()
    prompt = len(front.engine.core.requests[request_id].prompt_token_ids)
    front.engine.core.say(request_id, tokens=[TOKEN] * 3)
    await soon(lambda: front.backend.pool._flights[request_id].started, 5)
    await front.replace_engine(away_s=2)
    assert '"engine_lost"' in (await asking).text
    assert await front.used("failed") == prompt + 3
    client = front.of("ample", "nowhere")
    replacing = asyncio.create_task(front.replace_engine(away_s=1))
    await soon(lambda: not front.backend.pool.available, 5)
    assert (await front.ask(client, CHAT)).status_code == 503
    await replacing
    assert ("nowhere", "tenant/day/") not in front.app._gate.limiter._budgets._meters


async def test_a_budget_for_one_model_and_the_tightest_of_several(front: Limited) -> None:
    assert_refused(await front.ask(front.of("model"), CHAT), CHAT, "tokens_exceed_budget")
    reply = await front.answered(front.ask(front.of("minute"), CHAT))
    assert reply.headers["x-ratelimit-limit-tokens"] == "1000"
    seconds = float(reply.headers["x-ratelimit-reset-tokens"].removesuffix("s"))
    assert 0 < seconds < 60


async def test_who_has_no_limits_gets_no_headers(front: Limited) -> None:
    reply = await front.answered(front.ask(front.of("standard"), CHAT))
    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("x-ratelimit")]


async def test_status_and_metrics_tell_of_the_limits(front: Limited) -> None:
    client = front.of("two")
    for _ in range(3):
        await client.get("/v1/models")
    limits = (await front.http.get(f"{front.management}/status")).json()["limits"]
    assert (limits["store"], limits["problem"], limits["by_address"]) == ("this process", None, "none")
    text = (await front.http.get(f"{front.management}/metrics")).text
    assert 'sluice_limits_refused_total{reason="request_window",tier="two"}' in text
    assert 'sluice_budget_used_ratio_count{tier="ample"}' in text
    assert 'sluice_store_up{store="limits"} 1.0' in text
    assert 'sluice_store_up{store="audit"} 1.0' in text

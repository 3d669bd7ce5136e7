"""Who is in the pool: engines come, go, are refused, come back; and which of them gets a request."""

import asyncio
import time

import pytest

from gateway.pool import wire
from tests.gateway.pool.engines import Engine, introduce
from tests.gateway.pool.scripted import TOKEN
from tests.waiting import soon


async def test_tokens_flow_from_an_engine_that_serve_lists(pair):
    engine, gateway = pair
    await gateway.add("r")
    await soon(lambda: "r" in engine.core.requests, 5)
    engine.core.say("r")
    batch = await gateway.output()
    assert [(output.request_id, output.new_token_ids) for output in batch.outputs] == [("r", [TOKEN])]


async def test_an_engine_that_serve_lists_no_more_ends_its_streams_and_gets_no_new_ones(fork):
    left, right, gateway = fork
    await gateway.add("old")
    await soon(lambda: left.core.requests or right.core.requests, 5)
    old, new = (left, right) if left.core.requests else (right, left)
    gateway.pool.roster.set_members([new.card()])
    for number in range(4):
        await gateway.add(f"new-{number}")
    await soon(lambda: len(new.core.requests) == 4, 5)
    assert list(old.core.requests) == ["old"]
    old.core.say("old", finish=0)
    assert (await gateway.output()).outputs[0].request_id == "old"
    await soon(lambda: [c.card.engine_id for c in gateway.pool.roster.channels] == [new.name], 5)


async def test_a_list_of_nobody_is_a_controller_that_has_just_come_back(pair):
    """Engines say themselves when they leave: until then they serve on."""
    engine, gateway = pair
    gateway.pool.roster.set_members([])
    assert gateway.pool.available
    await gateway.add("r")
    await soon(lambda: "r" in engine.core.requests, 5)
    gateway.pool.roster.set_members([engine.card()])
    assert [channel.open for channel in gateway.pool.roster.channels] == [True]
    gateway.pool.roster.set_members([])
    await engine.outlet.leave()
    await soon(lambda: not gateway.pool.available, 5)
    await gateway.pool.abort(["r"])
    await soon(lambda: not gateway.pool.roster.channels, 5, "nobody needs it any more")


async def test_an_engine_that_says_it_leaves_gets_no_new_work_but_ends_its_own(fork):
    left, right, gateway = fork
    await left.outlet.leave()
    await soon(lambda: sum(c.open for c in gateway.pool.roster.channels) == 1, 5)
    for number in range(4):
        await gateway.add(f"r{number}")
    await soon(lambda: len(right.core.requests) == 4, 5)
    assert not left.core.requests


async def test_a_gateway_that_connects_while_an_engine_leaves_is_told_at_once(engine, gateway):
    one, other = engine("one"), gateway()
    introduce([one], [other])
    await one.outlet.leave()
    other.pool.roster.set_members([one.card()])
    await soon(lambda: any(c.leaving for c in other.pool.roster.channels), 5)
    assert not other.pool.available


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"protocol": wire.PROTOCOL + 1}, "protocol"),
        ({"vllm_version": "0.0.1"}, "vLLM 0.0.1"),
        ({"fingerprint": "0" * 32}, "another tokenizer"),
        ({"model": "another"}, "serves another"),
        ({"max_model_len": 512}, "max_model_len 512"),
    ],
    ids=["protocol", "version", "fingerprint", "model", "max_model_len"],
)
async def test_an_engine_that_does_not_fit_is_refused_in_words_and_not_connected(pair, engine, change, said):
    one, gateway = pair
    stranger = engine("stranger")
    gateway.pool.roster.set_members([one.card(), stranger.card(**change)])
    assert said in gateway.pool.roster.refused["stranger"]
    assert [c.card.engine_id for c in gateway.pool.roster.channels] == ["one"]
    gateway.pool.roster.set_members([one.card()])
    assert gateway.pool.roster.refused == {}


async def test_the_first_engine_settles_the_context_length(gateway, engine):
    one, small, large = gateway(), engine("small"), engine("large")
    introduce([small, large], [one])
    one.pool.roster.set_members([small.card(max_model_len=512), large.card(max_model_len=4096)])
    assert one.front.accept.max_model_len == 512
    assert list(one.pool.roster.refused) == ["large"]


async def test_requests_go_where_the_least_is_waiting(fork):
    left, right, gateway = fork
    await gateway.add("heavy", prompt=1000)
    await soon(lambda: left.core.requests or right.core.requests, 5)
    busy, idle = (left, right) if left.core.requests else (right, left)
    for number in range(8):
        await gateway.add(f"light-{number}", prompt=4)
    await soon(lambda: len(idle.core.requests) == 8, 5)
    assert list(busy.core.requests) == ["heavy"]


async def test_equal_engines_are_taken_in_turn(fork):
    left, right, gateway = fork
    for number in range(10):
        await gateway.add(f"r{number}")
    await soon(lambda: len(left.core.requests) + len(right.core.requests) == 10, 5)
    assert len(left.core.requests) == len(right.core.requests) == 5


async def test_an_engine_reports_what_other_gateways_gave_it(fork, gateway):
    """A gateway that starts beside a busy one does not take its first engine for idle."""
    left, right, first = fork
    second = gateway()
    introduce([left, right], [first, second])
    await second.meet(left, right)
    first.pool.roster.set_members([left.card()])
    for number in range(5):
        await first.add(f"busy-{number}", prompt=100)
    reported = {c.card.engine_id: c for c in second.pool.roster.channels}["left"]

    def told():
        load = reported.load
        return (load.requests, load.prefill_tokens, load.kv_use, load.waiting)

    await soon(lambda: told() == (5, 500, 500 / 1024, 5), 5, "the engine's own word")
    await second.add("mine")
    await soon(lambda: right.core.requests, 5)
    assert "mine" in right.core.requests


async def test_without_an_engine_a_request_waits_and_goes_to_the_first_that_comes(gateway, engine):
    one = gateway(wait_s=10)
    await one.add("patient")
    late = engine("late")
    introduce([late], [one])
    await one.meet(late)
    await soon(lambda: "patient" in late.core.requests, 5)


async def test_without_an_engine_a_request_fails_when_its_time_is_over(gateway):
    one = gateway(wait_s=0.1)
    begun = time.monotonic()
    assert not await one.pool.wait_available()
    await one.add("hopeless")
    (output,) = (await one.output()).outputs
    assert (output.request_id, str(output.finish_reason)) == ("hopeless", "error")
    assert 0.2 <= time.monotonic() - begun < 3
    assert one.pool.in_flight == 0


async def test_an_engine_that_was_restarted_has_a_new_key_and_is_found_by_its_new_card(pair, engine):
    """The old card's address may even be taken by something else: without the old key it gets nothing."""
    old, gateway = pair
    await old.stop()
    await soon(lambda: not gateway.pool.available, 5)
    fresh: Engine = engine("two")
    introduce([fresh], [gateway])
    gateway.pool.roster.set_members([fresh.card()])
    await soon(lambda: gateway.pool.available, 5)
    await gateway.add("r")
    await soon(lambda: "r" in fresh.core.requests, 5)
    assert [c.card.engine_id for c in gateway.pool.roster.channels] == ["two"]


async def test_an_engine_lets_a_gateway_in_as_soon_as_it_is_told_of_it(gateway, engine):
    one, other = engine("one"), gateway()
    other.pool.roster.set_members([one.card()])
    await asyncio.sleep(0.3)
    assert not other.pool.available
    introduce([one], [other])
    await soon(lambda: other.pool.available, 5, "the next attempt")

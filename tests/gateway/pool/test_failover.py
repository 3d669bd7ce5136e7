"""What the layers above the pool see of an engine's end: nothing, unless it ends twice."""

import asyncio
import time

import pytest
from vllm.v1.engine import FinishReason

from gateway.errors import EngineLost, NoEngine
from gateway.pool import flight, wire
from gateway.pool.context import Beat, RequestContext
from gateway.pool.forced_prefix import FORCED
from tests.gateway.pool.engines import introduce
from tests.gateway.pool.scripted import TOKEN
from tests.gateway.pool.streams import begin, holder, told
from tests.waiting import soon


async def test_a_greedy_stream_is_continued_from_its_tokens(fork):
    left, right, gateway = fork
    await begin(gateway)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5, 6, 7])
    assert (await told(gateway)).new_token_ids == [5, 6, 7]
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    again = second.core.requests["r"]
    assert again.prompt_token_ids == [TOKEN] * 4 + [5, 6, 7]
    assert again.sampling_params.max_tokens == 5
    second.core.say("r", tokens=[8], finish=FinishReason.LENGTH)
    output = await told(gateway)
    assert (output.request_id, output.new_token_ids, str(output.finish_reason)) == ("r", [8], "length")
    assert gateway.pool.in_flight == 0
    assert gateway.pool.failover.moved == 1


@pytest.mark.parametrize(
    "params",
    [{"seed": 1}, {"presence_penalty": 0.5}, {"frequency_penalty": 0.5}, {"bad_words": ["no"]}],
    ids=lambda params: next(iter(params)),
)
async def test_a_stream_whose_sampling_has_a_memory_is_led_along_its_old_path(fork, params):
    left, right, gateway = fork
    await begin(gateway, **params)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5, 6, 7])
    await told(gateway)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    again = second.core.requests["r"]
    assert again.prompt_token_ids == [TOKEN] * 4
    assert again.sampling_params.extra_args == {FORCED: [5, 6, 7]}
    second.core.say("r", tokens=[5])
    second.core.say("r", tokens=[6, 7, 8])
    assert (await told(gateway)).new_token_ids == [8], "what is known is not told twice, nor is what comes with it lost"


@pytest.mark.parametrize(("every_s", "heard"), [(0.0, 3), (3600.0, 0)], ids=["due each time", "not due yet"])
async def test_a_stream_hears_that_it_waits_while_it_is_led_along_its_old_path(fork, every_s, heard):
    left, right, gateway = fork
    beats = []
    await begin(gateway, context=RequestContext(beat=Beat(lambda: beats.append(1), every_s)), seed=1)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5, 6, 7])
    await told(gateway)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    for token in (5, 6, 7, 8):
        second.core.say("r", tokens=[token])
    assert (await told(gateway)).new_token_ids == [8]
    assert len(beats) == heard, "and not for what is news"


@pytest.mark.parametrize(("params", "length"), [({}, 7), ({"seed": 1}, 4)], ids=["continued", "led"])
async def test_a_stream_that_goes_on_is_charged_what_its_engine_counts(fork, params, length):
    left, right, gateway = fork
    await begin(gateway, **params)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5, 6, 7])
    await told(gateway)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    channel = next(c for c in gateway.pool.roster.channels if c.card.engine_id == second.name)
    assert channel.prompt_tokens == second.outlet.load.prefill_tokens == length
    assert channel.prefill_tokens == length
    second.core.say("r", tokens=[5])
    await soon(lambda: (channel.prompt_tokens, channel.prefill_tokens) == (0, 0), 5)


@pytest.mark.parametrize("params", [{}, {"seed": 1}], ids=["continued", "led"])
async def test_a_stream_that_lacks_nothing_but_its_end_ends_with_its_engine(fork, params):
    left, right, gateway = fork
    context = RequestContext()
    await begin(gateway, context=context, **params)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5] * 8)
    await told(gateway)
    await first.stop()
    output = await told(gateway)
    assert (output.request_id, output.new_token_ids, str(output.finish_reason)) == ("r", [], "length")
    assert (context.failure, gateway.pool.in_flight, second.core.ids) == (None, 0, [])


async def test_an_engine_that_leaves_the_old_path_ends_the_stream_rather_than_alter_it(fork):
    left, right, gateway = fork
    context = RequestContext()
    await begin(gateway, context=context, seed=1)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5, 6])
    await told(gateway)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    second.core.say("r", tokens=[5, 9])
    output = await told(gateway)
    assert (output.new_token_ids, str(output.finish_reason)) == ([], "error")
    assert isinstance(context.failure, EngineLost)


async def test_an_engine_on_probation_that_left_and_comes_back_is_tried_again(pair, engine):
    """It had its one request when it was lost."""
    one, gateway = pair
    await begin(gateway)
    await holder("r", one)
    (channel,) = gateway.pool.roster.channels
    channel.breaker.fault(0)
    await begin(gateway, "probe")
    await holder("probe", one)
    assert channel.breaker.probing
    other = engine("other")
    introduce([other], [gateway])
    gateway.pool.roster.set_members([other.card()])
    await soon(lambda: sum(c.open for c in gateway.pool.roster.channels) == 1, 5)
    (identity,) = one.outlet._seen
    gateway.pool.roster.set_members([other.card()])
    await one.outlet._send(identity, [wire.PONG, b"garbage"])
    await soon(lambda: len(other.core.requests) == 2, 5)
    assert channel.breaker.allows(time.monotonic())


async def test_what_an_older_attempt_still_says_is_dropped(impatient, fork):
    """As after SIGSTOP and SIGCONT: the first engine is silent until it has been given up, and then speaks."""
    left, right, gateway = fork
    await begin(gateway)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5])
    await told(gateway)
    first.task.cancel()
    await soon(lambda: "r" in second.core.requests, 5)
    first.task = asyncio.create_task(first.outlet.run())
    first.core.say("r", tokens=[99])
    second.core.say("r", tokens=[6], finish=FinishReason.LENGTH)
    assert (await told(gateway)).new_token_ids == [6]
    await soon(lambda: first.outlet.in_flight == 0, 5, "the first engine gives it up")
    assert gateway.pool.caught_up


async def test_an_abort_reaches_the_engine_that_has_taken_over(fork):
    left, right, gateway = fork
    await begin(gateway)
    first, second = await holder("r", left, right)
    first.core.say("r")
    await told(gateway)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    await gateway.pool.abort(["r"])
    await soon(lambda: second.core.aborted == ["r"], 5)
    assert (gateway.pool.in_flight, second.outlet.in_flight) == (0, 0)


async def test_a_stream_without_any_engine_waits_for_the_next(pair, engine):
    only, gateway = pair
    await begin(gateway)
    await holder("r", only)
    only.core.say("r", tokens=[5])
    await told(gateway)
    await only.stop()
    await soon(lambda: not gateway.pool.available, 5)
    fresh = engine("fresh")
    introduce([fresh], [gateway])
    gateway.pool.roster.set_members([fresh.card()])
    await soon(lambda: "r" in fresh.core.requests, 5)
    fresh.core.say("r", tokens=[6])
    assert (await told(gateway)).new_token_ids == [6]


async def test_a_request_that_no_engine_ever_had_is_told_that_there_is_none(gateway):
    context = RequestContext()
    lonely = gateway(wait_s=0.05)
    await begin(lonely, context=context)
    assert str((await told(lonely)).finish_reason) == "error"
    assert isinstance(context.failure, NoEngine)
    assert lonely.pool.in_flight == 0


async def test_each_wait_for_an_engine_has_its_whole_time(monkeypatch, engine, gateway):
    """The time of the first wait is up during the second."""
    waits: list[asyncio.Event] = []

    async def still(parked, _seconds, _beat):
        waits.append(over := asyncio.Event())
        await over.wait()
        return parked()

    monkeypatch.setattr(flight, "still", still)
    first, second, one, context = engine("first"), engine("second"), gateway(), RequestContext()
    introduce([first, second], [one])
    await one.meet(first)
    await begin(one, context=context)
    for number, each in enumerate((first, second), 1):
        one.pool.roster.set_members([each.card()])
        await holder("r", each)
        await each.outlet.leave()
        await soon(lambda: not one.pool.available, 5)
        await each.stop()
        await soon(lambda number=number: len(waits) == number, 5)
    waits[0].set()
    await asyncio.sleep(0.05)
    assert context.failure is None
    waits[1].set()
    await told(one)
    assert isinstance(context.failure, EngineLost)


async def test_after_a_loss_an_engine_gets_one_request_until_it_has_answered_it(pair, engine):
    one, gateway = pair
    other = engine("other")
    introduce([other], [gateway])
    gateway.pool.roster.set_members([one.card(), other.card()])
    await soon(lambda: sum(channel.open for channel in gateway.pool.roster.channels) == 2, 10)
    (identity,) = one.outlet._seen
    await one.outlet._send(identity, [wire.PONG, b"garbage"])
    channel = next(c for c in gateway.pool.roster.channels if c.card.engine_id == "one")
    await soon(lambda: channel.breaker.half_open, 5)
    await soon(lambda: channel.open, 5, "connected again")
    channel.breaker.open_until = 0
    for number in range(8):
        await begin(gateway, f"r{number}")
    await soon(lambda: len(one.core.requests) + len(other.core.requests) == 8, 5)
    assert len(one.core.requests) == 1
    one.core.say(*one.core.requests)
    await gateway.output()
    for number in range(8):
        await begin(gateway, f"s{number}")
    await soon(lambda: len(one.core.requests) + len(other.core.requests) == 16, 5)
    assert len(one.core.requests) > 4


@pytest.fixture
async def hedging(engine, gateway):
    """Two engines, and a gateway that asks a second one after 50 ms without a first token."""
    left, right, one = engine("left"), engine("right"), gateway(hedge_after_s=0.05)
    introduce([left, right], [one])
    await one.meet(left, right)
    return left, right, one


@pytest.mark.parametrize("winner", ["first", "hedge"])
async def test_of_two_rivals_the_first_token_decides_and_the_other_is_aborted(hedging, winner):
    left, right, gateway = hedging
    await begin(gateway)
    await soon(lambda: "r" in left.core.requests and "r" in right.core.requests, 5, "asked twice")
    first, second = (left, right) if gateway.pool._flights["r"].channel.card.engine_id == "left" else (right, left)
    quick, slow = (first, second) if winner == "first" else (second, first)
    quick.core.say("r", tokens=[5])
    assert (await told(gateway)).new_token_ids == [5]
    await soon(lambda: slow.core.aborted == ["r"], 5, "the loser is let go")
    slow.core.say("r", tokens=[9])
    quick.core.say("r", tokens=[6], finish=FinishReason.LENGTH)
    output = await told(gateway)
    assert (output.request_id, output.new_token_ids) == ("r", [6])
    assert (gateway.pool.in_flight, gateway.pool.failover.hedged) == (0, 1)
    assert [channel.requests for channel in gateway.pool.roster.channels] == [0, 0]


@pytest.mark.parametrize("lost", ["first", "hedge"])
async def test_a_rival_whose_engine_dies_leaves_the_race_to_the_other(hedging, lost):
    left, right, gateway = hedging
    await begin(gateway)
    await soon(lambda: "r" in left.core.requests and "r" in right.core.requests, 5, "asked twice")
    first, second = (left, right) if gateway.pool._flights["r"].channel.card.engine_id == "left" else (right, left)
    dying, living = (first, second) if lost == "first" else (second, first)
    await dying.stop()
    await soon(lambda: gateway.pool.in_flight == 1, 5)
    living.core.say("r", tokens=[5])
    output = await told(gateway)
    assert (output.request_id, output.new_token_ids) == ("r", [5])
    await gateway.pool.abort(["r"])
    await soon(lambda: living.core.aborted == ["r"], 5)
    assert gateway.pool.in_flight == 0


async def test_an_abort_in_the_race_reaches_both(hedging):
    left, right, gateway = hedging
    await begin(gateway)
    await soon(lambda: "r" in left.core.requests and "r" in right.core.requests, 5, "asked twice")
    await gateway.pool.abort(["r"])
    await soon(lambda: left.core.aborted == right.core.aborted == ["r"], 5)
    assert gateway.pool.in_flight == 0


async def test_hedges_are_few(engine, gateway):
    left, right, one = engine("left"), engine("right"), gateway(hedge_after_s=0.02, hedge_reserve=3, hedge_ratio=0)
    introduce([left, right], [one])
    await one.meet(left, right)
    for number in range(12):
        await begin(one, f"r{number}")
    await soon(lambda: len(left.core.ids) + len(right.core.ids) == 15, 5, "three of twelve asked twice")
    await asyncio.sleep(0.1)
    assert (len(left.core.ids) + len(right.core.ids), one.pool.failover.hedged) == (15, 3)


async def test_successes_earn_hedges(engine, gateway):
    left, right, one = engine("left"), engine("right"), gateway(hedge_after_s=0.02, hedge_reserve=1, hedge_ratio=1)
    introduce([left, right], [one])
    await one.meet(left, right)
    for number in range(3):
        name = f"r{number}"
        await begin(one, name)
        await soon(lambda name=name: name in left.core.requests and name in right.core.requests, 5, "asked twice")
        left.core.say(name, tokens=[5], finish=FinishReason.LENGTH)
        await told(one)


async def test_an_engine_may_take_more_streams_along_than_the_budget_has_retries(engine, gateway):
    left, right, one = engine("left"), engine("right"), gateway(retry_reserve=1, retry_ratio=0)
    introduce([left], [one])
    await one.meet(left)
    names = {f"r{number}" for number in range(20)}
    for name in names:
        await begin(one, name)
    await soon(lambda: set(left.core.requests) == names, 5)
    introduce([right], [one])
    one.pool.roster.set_members([left.card(), right.card()])
    await soon(lambda: len(one.pool.roster.usable) == 2, 5)
    await left.stop()
    await soon(lambda: set(right.core.requests) == names, 5, "a first move is no retry")
    assert not one.pool.failover.ended


async def test_an_older_request_does_not_close_the_breaker_of_an_engine_that_was_ejected(pair):
    only, gateway = pair
    await begin(gateway)
    await holder("r", only)
    (channel,) = gateway.pool.roster.channels
    channel.breaker.fault(asyncio.get_running_loop().time())
    only.core.say("r", tokens=[5])
    await told(gateway)
    assert channel.breaker.half_open


async def test_a_stream_that_its_hedge_won_goes_on_elsewhere_too(engine, gateway):
    engines, one = [engine(name) for name in ("a", "b", "c")], gateway(hedge_after_s=0.02)
    introduce(engines, [one])
    await one.meet(*engines)
    await begin(one)
    await soon(lambda: sum("r" in each.core.requests for each in engines) == 2, 5, "asked twice")
    first = next(e for e in engines if e.name == one.pool._flights["r"].channel.card.engine_id)
    hedge = next(e for e in engines if e is not first and "r" in e.core.requests)
    third = next(e for e in engines if e not in (first, hedge))
    hedge.core.say("r", tokens=[5])
    await told(one)
    await hedge.stop()
    await soon(lambda: "r" in first.core.requests or "r" in third.core.requests, 5)
    assert not one.pool.failover.ended

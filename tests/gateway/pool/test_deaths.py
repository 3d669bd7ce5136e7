"""What counts as an engine's death, and who is blamed for it."""

import asyncio
import sys
import time

import msgspec
import pytest
from vllm.sampling_params import StructuredOutputsParams
from vllm.v1.engine import FinishReason

from gateway.errors import EnginePoisoned
from gateway.pool import wire
from gateway.pool.context import RequestContext
from gateway.pool.failover import PROVEN, SETTLED, note_death
from gateway.pool.flight import Flight
from gateway.pool.outlet import CoreEndsError
from gateway.pool.pulse import SPARE_STEPS
from tests.gateway.pool.engines import introduce
from tests.gateway.pool.scripted import request
from tests.gateway.pool.streams import begin, holder, told
from tests.waiting import soon


def aboard(gained: int, sent: float = 0.0) -> Flight:
    flight = Flight("r", None, 4, gained=gained)
    flight.begin_leg("engine")
    flight.leg.sent = sent
    return flight


def test_newcomers_are_blamed_before_those_who_have_proven_harmless():
    old, new = aboard(PROVEN), aboard(PROVEN - 1)
    note_death([old, new], since=1)
    assert [(flight.deaths, flight.blamed) for flight in (old, new)] == [(1, 0), (1, 1)]
    note_death([old], since=1)
    assert (old.deaths, old.blamed) == (2, 1)


def test_who_came_when_the_engine_hung_already_has_no_part_in_it():
    running, newcomer, late = aboard(PROVEN), aboard(0, sent=0.9), aboard(0, sent=1.1)
    note_death([running, newcomer, late], since=1)
    assert [(flight.deaths, flight.blamed) for flight in (running, newcomer, late)] == [(1, 0), (1, 1), (0, 0)]
    note_death([running, late], since=1)
    assert (running.blamed, late.blamed) == (1, 0)
    note_death([late], since=1)
    assert (late.deaths, late.blamed) == (1, 1), "somebody it was"


def test_a_death_after_many_tokens_is_held_against_nobody_as_long_as_there_are_newcomers():
    long, shorter, new = aboard(SETTLED), aboard(SETTLED - 1), aboard(0)
    note_death([long, shorter, new], since=1)
    assert [flight.deaths for flight in (long, shorter, new)] == [0, 1, 1]
    note_death([long, shorter], since=1)
    assert (long.deaths, long.blamed) == (1, 1)


def test_who_was_the_only_suspect_once_is_one_again_beside_newcomers():
    marked, proven, new = aboard(PROVEN), aboard(PROVEN), aboard(0)
    note_death([marked], since=1)
    note_death([marked, proven, new], since=1)
    assert [flight.blamed for flight in (marked, proven, new)] == [2, 0, 1]
    note_death([new, proven], since=1)
    assert new.blamed == 2


def test_one_of_two_suspects_is_none_beside_newcomers():
    one, other, new = aboard(PROVEN), aboard(PROVEN), aboard(0)
    note_death([one, other], since=1)
    note_death([one, new], since=1)
    assert [flight.blamed for flight in (one, new)] == [1, 1]


def test_a_hedge_and_its_rival_share_the_blame():
    flight = aboard(0)
    note_death([flight], since=1)
    rival = flight.hedge()
    assert (rival.deaths, rival.blamed, rival.singled_out) == (1, 1, True)


async def test_a_request_in_which_two_engines_died_is_not_tried_again(fork):
    left, right, gateway = fork
    context = RequestContext()
    await begin(gateway, context=context)
    first, second = await holder("r", left, right)
    first.core.say("r")
    await told(gateway)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    await second.stop()
    output = await told(gateway)
    assert str(output.finish_reason) == "error"
    assert isinstance(context.failure, EnginePoisoned)
    assert gateway.pool.failover.ended == {"EnginePoisoned": 1}


async def test_who_had_long_been_served_beside_a_newcomer_is_not_blamed_for_two_deaths(engine, gateway):
    """The newcomer is; and a third death ends the other all the same."""
    left, right, one = engine("left"), engine("right"), gateway()
    introduce([left, right], [one])
    await one.meet(left)
    old, new = RequestContext(), RequestContext()
    await one.pool.add("old", request("old", max_tokens=32), 4, old)
    await holder("old", left)
    left.core.say("old", tokens=[5] * 4)
    left.core.say("old", tokens=[5] * 3)
    left.core.say("old", tokens=[5])
    for _ in range(3):
        await told(one)
    await begin(one, "new", new)
    await holder("new", left)
    await left.stop()
    await soon(lambda: not one.pool.available, 5)
    one.pool.roster.set_members([right.card()])
    await soon(lambda: len(right.core.requests) == 2, 5)
    await right.stop()
    await soon(lambda: one.pool.in_flight == 1, 5)
    assert isinstance(new.failure, EnginePoisoned)
    assert old.failure is None
    third = engine("third")
    introduce([third], [one])
    one.pool.roster.set_members([third.card()])
    await soon(lambda: "old" in third.core.requests, 5)
    await third.stop()
    await soon(lambda: one.pool.in_flight == 0, 5)
    assert isinstance(old.failure, EnginePoisoned)


async def test_a_gateway_that_stood_still_blames_no_engine_for_what_it_finds(impatient, fork):
    """Its heartbeats failed: engines have closed its connections, and live."""
    left, right, gateway = fork
    await begin(gateway)
    first, second = await holder("r", left, right)
    first.core.say("r")
    await told(gateway)
    first.task.cancel()
    first.outlet.close()
    time.sleep(0.3)
    await soon(lambda: "r" in second.core.requests, 5)
    (flight,) = gateway.pool._flights.values()
    assert flight.deaths == 0


@pytest.mark.parametrize("tokens", [[5, 6], []], ids=["in the middle", "sent to it while it ends"])
async def test_a_core_that_is_told_to_end_costs_its_requests_nothing(fork, tokens):
    """SIGTERM: vLLM's aborts what it has and all that still comes. Not a word of that gets out, and nobody is to blame."""
    left, right, gateway = fork
    await begin(gateway)
    first, second = await holder("r", left, right)
    if tokens:
        first.core.say("r", tokens=tokens)
        await told(gateway)
    first.core.say("r", tokens=[], finish=FinishReason.ABORT)
    with pytest.raises(CoreEndsError):
        async with asyncio.timeout(5):
            await first.task
    await first.stop()
    (flight,) = gateway.pool._flights.values()
    await soon(lambda: "r" in second.core.requests, 5)
    second.core.say("r", tokens=[7])
    assert (await told(gateway)).new_token_ids == [7]
    assert (flight.tokens, flight.deaths) == ([*tokens, 7], 0)
    assert (gateway.pool.failover.moved, gateway.pool.failover.lost) == (1, 0)


async def test_an_engine_that_is_drained_is_no_death_of_its_requests(fork):
    left, right, gateway = fork
    context = RequestContext()
    await begin(gateway, context=context)
    first, second = await holder("r", left, right)
    first.core.say("r")
    await told(gateway)
    await first.outlet.leave()
    await soon(lambda: sum(channel.open for channel in gateway.pool.roster.channels) == 1, 5)
    await first.stop()
    await soon(lambda: "r" in second.core.requests, 5)
    (flight,) = gateway.pool._flights.values()
    assert (flight.deaths, context.failure) == (0, None)


async def test_a_core_that_answers_and_makes_no_step_loses_its_streams(monkeypatch, engine, gateway):
    monkeypatch.setattr(wire, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(wire, "SILENCE_S", 30.0)
    left, right, one = engine("left"), engine("right"), gateway(stall_s=0.4)
    introduce([left, right], [one])
    await one.meet(left, right)
    await begin(one)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5])
    await told(one)
    await soon(lambda: "r" in second.core.requests, 30, "a second without a pause of this process")
    assert sum(flight.deaths for flight in one.pool._flights.values()) == 1


async def test_a_core_that_has_nothing_but_grammars_to_compile_may_take_its_time(pair):
    one, gateway = pair
    await begin(gateway, structured_outputs=StructuredOutputsParams(regex="z+"))
    await holder("r", one)
    assert one.outlet.silent_steps == sys.maxsize
    await begin(gateway, "plain")
    await holder("plain", one)
    assert one.outlet.silent_steps == SPARE_STEPS + 1
    await gateway.pool.abort(["plain"])
    await soon(lambda: one.outlet.silent_steps == sys.maxsize, 5)
    one.core.say("r")
    await told(gateway)
    assert one.outlet.silent_steps == SPARE_STEPS + 1, "its grammar is there"


async def test_who_is_sent_to_a_core_that_hangs_already_is_no_suspect(pair):
    """It has hung for half a minute; one request is a minute old."""
    one, gateway = pair
    await begin(gateway)
    await begin(gateway, "late")
    await holder("late", one)
    flights = gateway.pool._flights
    flights["r"].leg.sent -= 60
    (identity,) = one.outlet._seen
    await one.outlet._send(identity, [wire.PONG, msgspec.msgpack.encode(wire.Load(2, 8, quiet_s=30.0))])
    await soon(lambda: not gateway.pool.available, 5)
    assert {name: (flight.deaths, flight.blamed) for name, flight in flights.items()} == {"r": (1, 1), "late": (0, 0)}


async def test_a_core_that_hangs_loses_its_streams_and_gets_none_until_it_answers(monkeypatch, engine, gateway):
    monkeypatch.setattr(wire, "HEARTBEAT_S", 0.05)
    left, right, one = engine("left"), engine("right"), gateway(stall_s=0.3)
    introduce([left, right], [one])
    await one.meet(left, right)
    await begin(one)
    first, second = await holder("r", left, right)
    first.core.say("r", tokens=[5])
    await told(one)
    first.core.answering.clear()
    await soon(lambda: "r" in second.core.requests, 5)
    second.core.say("r", tokens=[6])
    assert (await told(one)).new_token_ids == [6]
    for number in range(4):
        await begin(one, f"later-{number}")
    await soon(lambda: len(second.core.requests) == 5, 5)
    first.core.answering.set()
    first.core.say("r")
    await soon(lambda: second.core.say("r") or first.outlet.quiet_s == 0, 5)
    channel = next(c for c in one.pool.roster.channels if c.card.engine_id == first.name)
    await soon(lambda: second.core.say("r") or channel.open, 5, "back in service")

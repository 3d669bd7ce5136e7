"""What a loss costs: a bad message one connection, an engine's death its running streams, a gateway's its requests."""

import asyncio

import msgspec
import pytest
import zmq.asyncio
from vllm.v1.engine import FinishReason

from gateway.pool import channel, outlet, wire
from gateway.pool.curve import KeyPair
from gateway.pool.flight import Flight
from tests.gateway.pool.engines import dealer, introduce, reply
from tests.gateway.pool.scripted import TOKEN, frames
from tests.waiting import soon


def identity_of(engine) -> bytes:
    (identity,) = engine.outlet._seen
    return identity


@pytest.mark.parametrize(
    "message",
    [
        [wire.OUTPUTS],
        [wire.OUTPUTS, b"\xff\xff"],
        [wire.OUTPUTS, msgspec.msgpack.encode({"outputs": 5})],
        [wire.PONG],
        [wire.PONG, b"garbage"],
        [wire.PONG, msgspec.msgpack.encode(["many", None])],
        [wire.REFUSED],
        [wire.REFUSED, b"\xff\xfe", b"why"],
        [b"?"],
        [b"", b""],
    ],
    ids=repr,
)
async def test_a_malformed_message_costs_its_connection_and_nothing_else(fork, message):
    left, right, gateway = fork
    names = ["a", "b"]
    for name in names:
        await gateway.add(name)
    await soon(lambda: left.core.requests and right.core.requests, 5)
    started = next(name for name in names if name in right.core.requests)
    right.core.say(started)
    assert (await gateway.output()).outputs[0].request_id == started

    lost = {c.card.engine_id: c for c in gateway.pool.roster.channels}["left"]
    went_down = asyncio.Event()
    on_lost = gateway.pool.on_lost
    gateway.pool.on_lost = lambda *args: (on_lost(*args), went_down.set())
    await left.outlet._send(identity_of(left), message)
    async with asyncio.timeout(5):
        await went_down.wait()
    right.core.say(started, tokens=[TOKEN, TOKEN])
    assert (await gateway.output()).outputs[0].new_token_ids == [TOKEN, TOKEN]
    await soon(lambda: lost.open, 5, "the connection is made again")


async def test_a_request_without_output_moves_to_another_engine(fork):
    left, right, gateway = fork
    for number in range(6):
        await gateway.add(f"r{number}")
    await soon(lambda: len(left.core.requests) == len(right.core.requests) == 3, 5)
    await left.stop()
    await soon(lambda: len(right.core.requests) == 6, 5, "all six on the engine that is left")
    assert gateway.pool.in_flight == 6


async def test_a_connection_that_breaks_is_made_again_and_its_waiting_requests_go_the_same_way(pair):
    """The engine still has them under the connection that broke: vLLM's core dies of an id that it knows already."""
    engine, gateway = pair
    await gateway.add("r")
    await soon(lambda: "r" in engine.core.requests, 5)
    await engine.outlet._send(identity_of(engine), [wire.PONG, b"garbage"])
    await soon(lambda: len(engine.core.ids) == 2, 5, "sent again")
    assert not engine.task.done()
    engine.core.say("r")
    (output,) = (await gateway.output()).outputs
    assert (output.request_id, output.new_token_ids) == ("r", [TOKEN])
    await soon(lambda: engine.core.aborted == ["r"], 10, "the first one is given up")
    await gateway.pool.abort(["r"])
    await soon(lambda: engine.core.aborted == ["r", "r"], 5)
    assert engine.outlet.in_flight == 0


async def test_a_request_that_an_engine_cannot_read_fails_alone(pair):
    engine, gateway = pair
    await gateway.add("good")
    await soon(lambda: "good" in engine.core.requests, 5)
    channels = gateway.pool.roster.channels
    await channels[0].send(wire.ADD, [b"bad", b"\xff\xff"])
    gateway.pool._flights["bad"] = Flight("bad", None, 0, None, channels[0], attempt=1)
    (output,) = (await gateway.output()).outputs
    assert (output.request_id, str(output.finish_reason)) == ("bad", "error")
    engine.core.say("good")
    assert (await gateway.output()).outputs[0].request_id == "good"


async def test_an_aborted_request_is_aborted_at_its_engine_and_heard_of_no_more(pair):
    engine, gateway = pair
    await gateway.add("r")
    await soon(lambda: "r" in engine.core.requests, 5)
    await gateway.pool.abort(["r", "unknown"])
    await soon(lambda: engine.core.aborted == ["r"], 5)
    engine.core.say("r")
    engine.core.say("r", tokens=[], finish=FinishReason.ABORT)
    await gateway.add("next")
    await soon(lambda: "next" in engine.core.requests, 5)
    engine.core.say("next")
    assert [output.request_id for output in (await gateway.output()).outputs] == ["next"]
    assert (engine.outlet.in_flight, gateway.pool.roster.channels[0].requests) == (1, 1)


async def test_two_gateways_share_an_engine_and_each_gets_only_its_own(pair, gateway):
    engine, first = pair
    second = gateway()
    introduce([engine], [first, second])
    await second.meet(engine)
    await first.add("mine")
    await second.add("yours")
    await soon(lambda: len(engine.core.requests) == 2, 5)
    engine.core.say("mine", "yours")
    assert [output.request_id for output in (await first.output()).outputs] == ["mine"]
    assert [output.request_id for output in (await second.output()).outputs] == ["yours"]


async def test_a_gateway_cannot_abort_what_another_asked_for(pair, gateway):
    engine, first = pair
    second = gateway()
    introduce([engine], [first, second])
    await second.meet(engine)
    await first.add("mine")
    await soon(lambda: engine.core.requests, 5)
    await second.pool.roster.channels[0].send(wire.ABORT, [b"mine"])
    await second.add("after it")
    await soon(lambda: "after it" in engine.core.requests, 5)
    assert engine.core.aborted == []


async def test_a_gateway_that_is_gone_has_its_requests_aborted(pair, gateway):
    engine, first = pair
    second = gateway()
    introduce([engine], [first, second])
    await second.meet(engine)
    await first.add("stays")
    await second.add("goes")
    await soon(lambda: len(engine.core.requests) == 2, 5)
    await second.close()
    # Known by the heartbeat, or by the first message that cannot be delivered.
    engine.core.say("goes")
    await soon(lambda: engine.core.aborted == ["goes"], 10)
    assert engine.outlet.in_flight == 1


async def test_an_engine_that_answers_no_ping_is_lost(impatient, fork):
    left, right, gateway = fork
    for number in range(4):
        await gateway.add(f"r{number}")
    await soon(lambda: len(left.core.requests) == 2, 5)
    left.task.cancel()  # its socket is open still, and ZeroMQ answers for it
    await soon(lambda: len(right.core.requests) == 4, 5)


async def test_a_gateway_that_sends_no_ping_is_lost(impatient, pair):
    engine, gateway = pair
    keys = KeyPair.generate()
    engine.outlet.allow([gateway.keys.public.decode(), keys.public.decode()])
    context = zmq.asyncio.Context()
    silent = dealer(context, engine.address, engine.outlet.server_key, keys)
    await silent.send_multipart([wire.HELLO, b"%d" % wire.PROTOCOL])
    assert (await reply(silent, 5))[0] == wire.WELCOME
    await silent.send_multipart([wire.ADD, *frames("silent")])
    await soon(lambda: "silent" in engine.core.requests, 5)
    await soon(lambda: engine.core.aborted == ["silent"], 5)
    assert gateway.pool.available
    silent.close()
    context.destroy(linger=0)


MALFORMED = [
    [wire.ADD],
    [wire.ADD, b"\xff\xfe"],
    [wire.ADD, b"id"],
    [wire.ADD, b"id", b"\xff"],
    [wire.ABORT, b"\xff\xfe"],
    [wire.ABORT],
    [wire.PING, b"surplus"],
    [wire.HELLO, b"999"],
    [wire.HELLO],
    [b"?"],
    [b""],
]


@pytest.mark.parametrize("message", MALFORMED, ids=repr)
async def test_no_message_of_a_gateway_brings_an_engine_down(pair, message):
    engine, gateway = pair
    keys = KeyPair.generate()
    engine.outlet.allow([gateway.keys.public.decode(), keys.public.decode()])
    context = zmq.asyncio.Context()
    mad = dealer(context, engine.address, engine.outlet.server_key, keys)
    await mad.send_multipart([wire.HELLO, b"%d" % wire.PROTOCOL])
    assert (await reply(mad, 5))[0] == wire.WELCOME
    await mad.send_multipart(message)
    await gateway.add("r")
    await soon(lambda: "r" in engine.core.requests, 5)
    engine.core.say("r")
    assert (await gateway.output()).outputs[0].request_id == "r"
    assert not engine.task.done()
    mad.close()
    context.destroy(linger=0)


async def test_a_gateway_that_was_given_up_is_told_so_and_comes_back_at_once(pair):
    """Its event loop stood still, and ZeroMQ kept the connection up for it. That is held against no engine and no stream."""
    engine, gateway = pair
    (path,) = gateway.pool.roster.channels
    balance = gateway.pool.failover.budget.balance
    await gateway.add("r")
    for number in (1, 3, 5):
        await soon(lambda: len(engine.core.ids) >= number, 2, "the stream at the engine")  # noqa: B023  waited for here
        engine.core.say("r")
        await gateway.output()
        await engine.outlet._drop(identity_of(engine), "silent")
        await gateway.add(f"other {number}")
        await soon(lambda: len(engine.core.ids) == number + 2, 2, "both at the engine")  # noqa: B023
        await gateway.pool.abort([f"other {number}"])
    assert (path.open, path.breaker.half_open, gateway.pool.failover.lost) == (True, False, 0)
    assert gateway.pool.failover.budget.balance == balance
    assert gateway.pool._flights["r~4"].deaths == 0


async def test_a_dead_core_ends_the_outlet(pair):
    engine, _ = pair
    engine.core.die()
    await soon(engine.task.done, 5)
    assert "CoreDied" in repr(engine.task.exception())


def test_heartbeats_below_ours_are_as_patient_as_ours():
    assert channel.HEARTBEAT_MS == outlet.HEARTBEAT_MS == (wire.HEARTBEAT_S * 1000, wire.SILENCE_S * 1000)

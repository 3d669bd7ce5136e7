"""The token channel lets in those gateways that the engine was told of, and nobody else."""

import asyncio
import socket

import pytest
import zmq.asyncio

from gateway.pool import wire
from gateway.pool.curve import KeyPair
from tests.gateway.pool.engines import dealer, introduce, reply

HELLO = [wire.HELLO, b"%d" % wire.PROTOCOL]
PATIENCE = 0.7


@pytest.fixture
async def context():
    made = zmq.asyncio.Context()
    yield made
    made.destroy(linger=0)


async def test_a_listed_gateway_is_welcomed(pair, context):
    engine, gateway = pair
    assert (await reply_to(dealer(context, engine.address, engine.outlet.server_key, gateway.keys)) or [None])[
        0
    ] == wire.WELCOME


async def test_without_curve_nobody_is_answered(pair, context):
    engine, _ = pair
    assert await reply_to(dealer(context, engine.address, None, None)) is None


async def test_with_another_servers_key_nobody_is_answered(pair, context):
    engine, gateway = pair
    assert await reply_to(dealer(context, engine.address, KeyPair.generate().public.decode(), gateway.keys)) is None


async def test_the_servers_public_key_alone_opens_nothing(pair, context):
    engine, _ = pair
    assert await reply_to(dealer(context, engine.address, engine.outlet.server_key, KeyPair.generate())) is None


async def test_a_listed_public_key_without_its_secret_opens_nothing(pair, context):
    engine, gateway = pair
    forged = KeyPair(gateway.keys.public, KeyPair.generate().secret)
    assert await reply_to(dealer(context, engine.address, engine.outlet.server_key, forged)) is None


async def test_before_it_is_told_of_any_gateway_an_engine_answers_none(engine, context):
    one = engine("one")
    assert await reply_to(dealer(context, one.address, one.outlet.server_key, KeyPair.generate())) is None


async def test_a_gateway_that_is_struck_off_the_list_cannot_come_back(pair, context):
    engine, gateway = pair
    introduce([engine], [])
    assert await reply_to(dealer(context, engine.address, engine.outlet.server_key, gateway.keys)) is None


async def test_a_token_is_told_to_no_one_who_only_listens_in(pair):
    """Between the two sits a wire tap; what it sees has neither the id nor the words of the protocol."""
    engine, gateway = pair
    host, port = engine.address.removeprefix("tcp://").split(":")
    seen = bytearray()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            seen.extend(data)
            writer.write(data)

    async def tap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pass_on(reader, theirs[1]), pass_on(theirs[0], writer))

    server = await asyncio.start_server(tap, "127.0.0.1", 0)
    gateway.pool.roster.set_members([])
    card = engine.card(engine_id="tapped", address=f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    gateway.pool.roster.set_members([card])
    async with asyncio.timeout(5):
        while not gateway.pool.available:
            await asyncio.sleep(0.01)
        await gateway.add("a-request-id-that-is-easy-to-find")
        while not engine.core.requests:
            await asyncio.sleep(0.01)
    assert len(seen) > 300
    assert b"a-request-id-that-is-easy-to-find" not in seen
    server.close()


async def test_noise_on_the_port_disturbs_nobody(pair):
    engine, gateway = pair
    host, port = engine.address.removeprefix("tcp://").split(":")
    for noise in (
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\xff" * 4096,
        b"",
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL",
    ):
        with socket.create_connection((host, int(port)), timeout=1) as wire_tap:
            wire_tap.sendall(noise)
    await gateway.add("r")
    async with asyncio.timeout(5):
        while not engine.core.requests:
            await asyncio.sleep(0.01)


def test_a_secret_key_is_not_shown(capsys):
    keys = KeyPair.generate()
    assert keys.secret.decode() not in f"{keys} {keys!r}"


async def reply_to(asker: zmq.asyncio.Socket) -> list[bytes] | None:
    await asker.send_multipart(HELLO)
    answered = await reply(asker, PATIENCE)
    asker.close()
    return answered

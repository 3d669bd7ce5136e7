"""A listener that stops while others at its port go on."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvloop

from gateway.config.listen import Listen
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.listener import FIRST_S, Listener

REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    running = Listener(answer, Listen(port=0), keep_alive_s=30)
    await running.start()
    yield running
    await running.stop()


def connected(port: int) -> socket.socket:
    """By the kernel alone: the listener's loop gets no turn."""
    return socket.create_connection(("127.0.0.1", port), 5)


async def asked(connection: socket.socket) -> bytes:
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(REQUEST)
    async with asyncio.timeout(5):
        told = await reader.read()
    writer.close()
    return told


async def test_who_connected_while_it_was_busy_is_served_and_not_reset(listener: Listener) -> None:
    port = listener.port
    waiting = [connected(port) for _ in range(8)]
    stopping = asyncio.create_task(listener.stop_accepting())
    answers = await asyncio.gather(*map(asked, waiting))
    assert all(told.startswith(b"HTTP/1.1 200") and told.endswith(b"ok") for told in answers)
    await asyncio.wait_for(stopping, 1)
    with pytest.raises(ConnectionRefusedError):
        connected(port)


async def test_who_has_not_asked_yet_is_waited_for_and_not_for_ever(listener: Listener) -> None:
    slow, silent = connected(listener.port), connected(listener.port)
    begun = time.monotonic()
    stopping = asyncio.create_task(listener.stop_accepting(limit_s=0.6))
    await asyncio.sleep(0.3)
    assert not stopping.done()
    assert (await asked(slow)).endswith(b"ok")
    await stopping
    assert 0.5 < time.monotonic() - begun < FIRST_S
    await listener.stop()
    assert silent.recv(1) == b"", "closed, not left hanging"
    silent.close()

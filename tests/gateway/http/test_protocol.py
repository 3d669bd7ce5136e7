"""Bounds on what a client without a key can hold, over a real socket."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from gateway.config.listen import Listen
from gateway.errors import BodyTooLarge
from gateway.http import protocol, stall
from gateway.http.asgi import App, Receive, Scope, Send
from gateway.http.body import read_json
from gateway.http.listener import Listener
from gateway.http.reply import Reply

CHUNKED = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextlib.asynccontextmanager
async def serving(app: App, keep_alive_s: int = 5) -> AsyncIterator[Listener]:
    running = Listener(app, Listen(port=0), keep_alive_s)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def listener():
    async with serving(answer) as running:
        yield running


async def reply(listener: Listener, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        got = await reader.read()
    writer.close()
    return got


async def test_a_head_that_grows_without_end_is_refused(listener: Listener):
    assert (await reply(listener, b"GET / HTTP/1.1\r\nx: " + b"a" * 66_000)).startswith(b"HTTP/1.1 431")


async def test_many_small_headers_are_one_large_head(listener: Listener):
    head = b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 11_000
    assert b'"code": "bad_http"' in await reply(listener, head)


async def test_a_head_that_does_not_come_is_waited_for_no_longer_than_the_limit(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.1)
    assert (await reply(listener, b"GET / HTTP/1.1\r\nx")).startswith(b"HTTP/1.1 408")
    assert await reply(listener, b"") == b""


async def test_many_requests_on_one_connection_add_up_to_nothing(listener: Listener):
    request = b"GET / HTTP/1.1\r\nx: " + b"a" * 60_000 + b"\r\n"
    assert (await reply(listener, request + b"\r\n", request + b"\r\n", LAST)).count(b"HTTP/1.1 200") == 3


async def test_a_slow_answer_is_not_a_slow_head(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await answer(scope, receive, send)

    async with serving(slow) as running:
        assert (await reply(running, LAST)).startswith(b"HTTP/1.1 200")


async def test_what_is_not_http_is_told_so_in_the_envelope(listener: Listener):
    answered = await reply(listener, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 400")
    assert b'"type": "invalid_request_error"' in answered


@pytest.mark.parametrize(
    ("begin", "part"),
    [
        (CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
        (CHUNKED + b"0\r\nx: ", b"a" * 6000),
        (CHUNKED + b"1;", b"a" * 6000),
        (b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 3000),
    ],
    ids=["trailers", "one long trailer", "the extension of a chunk", "empty lines"],
)
async def test_what_grows_without_end_beside_a_body_ends_its_connection(listener: Listener, begin: bytes, part: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(begin)
    await reader.readuntil(b"ok")
    sent = 0
    while not writer.is_closing() and sent < 2**20:
        writer.write(part)
        sent += len(part)
        await asyncio.sleep(0.001)
    writer.close()
    assert protocol.MAX_HEAD < sent < 2 * protocol.MAX_HEAD


async def test_a_long_body_in_tiny_chunks_is_not_a_long_head(listener: Listener):
    body = b"1\r\nx\r\n" * 1000
    assert (await reply(listener, CHUNKED, *[body] * 40, b"0\r\nx: y\r\n\r\n" + LAST)).count(b"HTTP/1.1 200") == 2


async def test_trailers_are_not_headers():
    seen: list[bytes] = []

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.extend(name for name, _ in scope["headers"])
        await answer(scope, receive, send)

    async with serving(told) as running:
        await reply(running, CHUNKED + b"1\r\nx\r\n0\r\nx-forwarded-for: 192.0.2.1\r\n\r\n" + LAST)
    assert seen == [b"transfer-encoding", b"connection"]


async def test_requests_sent_ahead_are_answered_in_turn_unless_they_are_too_many(listener: Listener):
    ahead = b"GET / HTTP/1.1\r\n\r\n"
    assert (await reply(listener, ahead * protocol.MOST_AHEAD + LAST)).count(b"HTTP/1.1 200") == protocol.MOST_AHEAD + 1
    refused = await reply(listener, ahead * 1000 + LAST)
    assert (refused.count(b"HTTP/1.1 200"), b"HTTP/1.1 400" in refused) == (0, True)


@pytest.mark.parametrize("rest", [b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_client_that_dribbles_after_its_answer_is_not_borne_for_ever(
    listener: Listener, rest: bytes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "REST_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(rest)
    await reader.readuntil(b"ok")
    drops = 0
    while not writer.is_closing() and drops < 100:
        writer.write(b"\r\n")
        drops += 1
        await asyncio.sleep(0.01)
    writer.close()
    assert 10 < drops < 60


async def test_a_body_that_ends_after_its_answer_leaves_the_connection_to_the_next_request(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(protocol, "REST_S", 0.3)
    clock = asyncio.get_running_loop().time
    async with serving(answer, keep_alive_s=1) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\n")
            await reader.readuntil(b"ok")
            for part in (b"abc", b"def"):
                writer.write(part)
                await asyncio.sleep(0.02)
        idle_since = clock()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
    assert clock() - idle_since > 0.8, "it is closed as any idle one"


async def small(scope: Scope, receive: Receive, send: Send) -> None:
    reply = Reply(send, "r")
    try:
        await read_json(scope["headers"], receive, limit=2**16, timeout_s=5)
    except BodyTooLarge as error:
        await reply.error(error)


@pytest.mark.parametrize("announced", [True, False])
async def test_who_sends_too_much_is_told_so_and_may_go_on(announced: bool):
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(128):
            yield b"x" * 2**16

    async with serving(small) as running, httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            body = b"x" * 2**23 if announced else parts()
            url, kind = f"http://127.0.0.1:{running.port}", {"content-type": "application/json"}
            assert (await client.post(url, content=body, headers=kind)).status_code == 413


def narrow(listener: Listener) -> socket.socket:
    """A connection that holds little of what its client has not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", listener.port))
    client.setblocking(False)
    return client


async def test_a_client_that_reads_nothing_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch):
    async def gives_up(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                while True:
                    await send({"type": "http.response.body", "body": b"x" * 2**20, "more_body": True})

    monkeypatch.setattr(stall, "STALL_S", 0.3)
    loop = asyncio.get_running_loop()
    async with serving(gives_up) as running:
        client = narrow(running)
        await loop.sock_sendall(client, LAST)
        await asyncio.sleep(1)
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(5):
                while await loop.sock_recv(client, 2**20):
                    pass
        client.close()


class Closing:
    """A connection whose close waits for its client to read, and which, as over TLS, brings what comes meanwhile."""

    def __init__(self) -> None:
        self.written, self.closing = b"", False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, _name: str) -> None:
        return None


async def test_nothing_is_taken_from_a_connection_that_is_being_closed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)
    connection: Any = Closing()
    config = uvicorn.Config(answer, lifespan="off", log_config=None)
    running = protocol.BoundedHttp(config, ServerState(), {})
    running.connection_made(connection)
    for part in (b"GET / HTTP/1.1\r\nx: " + b"a" * 66_000, b"\r\n\r\n", LAST):
        running.data_received(part)
    await asyncio.sleep(0.1)
    assert connection.written.startswith(b"HTTP/1.1 431")
    assert (connection.written.count(b"HTTP/1.1"), running.tasks) == (1, set())


async def test_a_client_that_reads_slowly_gets_all(monkeypatch: pytest.MonkeyPatch):
    async def lots(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 500_000})

    monkeypatch.setattr(stall, "STALL_S", 0.3)
    loop, got = asyncio.get_running_loop(), 0
    async with serving(lots) as running:
        client = narrow(running)
        await loop.sock_sendall(client, LAST)
        while part := await loop.sock_recv(client, 2**14):
            got += len(part)
            await asyncio.sleep(0.05 if got < 50_000 else 0)
        client.close()
    assert got > 500_000

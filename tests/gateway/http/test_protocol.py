"""Bounds on a request's head, over a real socket."""

import asyncio

import pytest

from gateway.config.listen import Listen
from gateway.http import protocol
from gateway.http.asgi import Receive, Scope, Send
from gateway.http.listener import Listener


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def listener():
    running = Listener(answer, Listen(port=0), keep_alive_s=5)
    await running.start()
    yield running
    await running.stop()


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
    last = b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"
    assert (await reply(listener, request + b"\r\n", request + b"\r\n", last)).count(b"HTTP/1.1 200") == 3


async def test_a_slow_answer_is_not_a_slow_head(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.05)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await answer(scope, receive, send)

    running = Listener(slow, Listen(port=0), keep_alive_s=5)
    await running.start()
    assert (await reply(running, b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")
    await running.stop()


async def test_what_is_not_http_is_told_so_in_the_envelope(listener: Listener):
    answered = await reply(listener, b"\x16\x03\x01 nonsense\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 400")
    assert b'"type": "invalid_request_error"' in answered

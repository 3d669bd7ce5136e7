"""A target keeps its books by what a server really answered."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from loadtests.redteam.target import COMPLETIONS, Stopped, Target

ANSWER = {
    "choices": [{"logprobs": {"top_logprobs": [{"a": -1.0, "b": -2.0}, {"c": -0.5}]}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
REFUSAL = {"error": {"type": "invalid_request_error", "code": "unknown_parameter", "param": "echo"}}


@asynccontextmanager
async def server(good, answer=ANSWER):
    """Answers `good` requests, then refuses all; notes the keys that it was shown."""
    keys = []

    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                keys.append(head.split("bearer ")[1].split("\r\n")[0])
                status, body = ("200 OK", answer) if len(keys) <= good else ("400 Bad Request", REFUSAL)
                content = json.dumps(body).encode()
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield running.sockets[0].getsockname()[1], keys
    finally:
        running.close()
        await running.wait_closed()


async def test_tokens_and_scalars_are_counted_and_keys_take_turns():
    async with server(good=4) as (port, keys):
        target = Target(port, "m", ("one", "two"), width=2)
        await target.every((COMPLETIONS, {}) for _ in range(4))
        target.close()
    books = target.books
    assert (books.requests, books.answered, books.prompt_tokens, books.completion_tokens) == (4, 4, 12, 8)
    assert books.scalars == 12
    assert sorted(keys) == ["one", "one", "two", "two"]


async def test_a_refusal_stops_the_attack_and_what_has_not_been_sent():
    async with server(good=10) as (port, keys):
        target = Target(port, "m", width=4, keys=("k",))
        with pytest.raises(Stopped, match="unknown_parameter echo"):
            await target.every((COMPLETIONS, {}) for _ in range(500))
        target.close()
    assert target.books.stopped.startswith("request 11: 400")
    assert target.books.answered == 10
    assert len(keys) < 20

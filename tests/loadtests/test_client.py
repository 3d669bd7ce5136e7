import asyncio
import time

import pytest

from loadtests.chat import read_chat, request_body
from loadtests.client import Connection, post


def request(port: int, tokens: int, prompt: str = "hi", key: str = "") -> bytes:
    return post(f"127.0.0.1:{port}", "/v1/chat/completions", request_body("toy", prompt, tokens), key)


async def test_a_stream_is_complete_and_counted_exactly(serving):
    async with serving() as (toy, port):
        connection = await Connection.to("127.0.0.1", port)
        exchange = await connection.ask(request(port, 7, key="secret"), timeout_s=5)
        stream = read_chat(exchange, 7)
        connection.close()
    assert stream.problem == ""
    assert (stream.tokens, stream.token_events, len(stream.gaps_s)) == (7, 7, 6)
    assert stream.text == "2.0 2.1 2.2 2.3 2.4 2.5 2.6 "
    assert stream.finish_reasons == ["length"]
    assert 0 < stream.ttft_s <= exchange.ended - exchange.sent
    assert toy.keys == ["Bearer secret"]


async def test_a_connection_is_kept_for_the_next_request(serving):
    async with serving() as (toy, port):
        connection = await Connection.to("127.0.0.1", port)
        streams = [read_chat(await connection.ask(request(port, n), 5), n) for n in (3, 4)]
        still_open = connection.open
        connection.close()
    assert [stream.tokens for stream in streams] == [3, 4]
    assert still_open
    assert toy.requests == 2


@pytest.mark.parametrize(
    ("flaw", "problem"),
    [
        ("status", "status 503: b'busy'"),
        ("cut", "connection lost"),
        ("not done", "no [DONE]"),
        ("short", "4 tokens instead of 5"),
    ],
)
async def test_what_is_wrong_with_a_stream_is_told(serving, flaw, problem):
    async with serving(flaw) as (_toy, port):
        connection = await Connection.to("127.0.0.1", port)
        exchange = await connection.ask(request(port, 5), timeout_s=5)
        connection.close()
    assert problem in read_chat(exchange, 5).problem


async def test_silence_ends_at_the_deadline(serving):
    begun = time.monotonic()
    async with serving("silence") as (_toy, port):
        connection = await Connection.to("127.0.0.1", port)
        exchange = await connection.ask(request(port, 5), timeout_s=0.05)
    assert exchange.error == "no end within 0 s"
    assert not connection.open
    assert time.monotonic() - begun < 2


async def test_an_event_that_is_no_json_is_a_problem():
    class Odd(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            self.transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 9\r\n\r\ndata: {\n\n"
            )

    server = await asyncio.get_running_loop().create_server(Odd, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = await Connection.to("127.0.0.1", port)
    stream = read_chat(await connection.ask(request(port, 1), 5), 1)
    connection.close()
    server.close()
    assert "not understood" in stream.problem

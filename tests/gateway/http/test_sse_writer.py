"""Writing from plain function calls: nothing lost, nothing out of order, and a slow client blocks nobody."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import sse_writer, stall
from gateway.http.body import ClientGone
from gateway.http.reply import Reply
from gateway.http.sse_writer import SseWriter


class Socket:
    """An ASGI `send` that suspends before the messages whose numbers are in `full`, as a server does when its buffer is full."""

    def __init__(self, full: set[int]) -> None:
        self.full = full
        self.count = 0
        self.sent: list[bytes] = []
        self.status = 0

    async def send(self, message: Any) -> None:
        number, self.count = self.count, self.count + 1
        if number in self.full:
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.sent.append(message["body"])


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=6), min_size=1, max_size=30),
    full=st.sets(st.integers(0, 40)),
    pauses=st.sets(st.integers(0, 30)),
)
def test_every_byte_arrives_once_and_in_order(chunks: list[bytes], full: set[int], pauses: set[int]) -> None:
    async def scenario() -> Socket:
        socket = Socket(full)
        reply = Reply(socket.send, "r")
        writer = SseWriter(reply)
        for number, chunk in enumerate(chunks):
            writer.write(chunk)
            if number in pauses:
                await asyncio.sleep(0)
        await writer.flushed()
        await reply.end()
        return socket

    socket = asyncio.run(scenario())
    assert b"".join(socket.sent) == b"".join(chunks)
    assert socket.status == 200


async def test_a_fast_client_is_written_to_without_a_task() -> None:
    socket = Socket(full=set())
    writer = SseWriter(Reply(socket.send, "r"))
    before = len(asyncio.all_tasks())
    writer.write(b"a")
    writer.write(b"b")
    assert socket.sent == [b"a", b"b"]
    assert len(asyncio.all_tasks()) == before


async def test_writes_to_a_slow_client_return_at_once_and_are_joined() -> None:
    socket = Socket(full={1})
    writer = SseWriter(Reply(socket.send, "r"))
    for chunk in (b"a", b"b", b"c"):
        writer.write(chunk)
    assert socket.sent == []
    await writer.flushed()
    assert socket.sent == [b"a", b"bc"]


async def test_abandoning_cancels_the_slow_send() -> None:
    class Stuck:
        async def send(self, _message: Any) -> None:
            await asyncio.get_running_loop().create_future()

    writer = SseWriter(Reply(Stuck().send, "r"))
    writer.write(b"a")
    writer.abandon()
    with pytest.raises(asyncio.CancelledError):
        await writer.flushed()


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_the_connection_raises_reaches_whoever_waits_not_whoever_writes(at_once: bool) -> None:
    class Broken:
        async def send(self, _message: Any) -> None:
            if not at_once:
                await asyncio.sleep(0)
            raise ConnectionResetError

    writer = SseWriter(Reply(Broken().send, "r"))
    writer.write(b"a")
    with pytest.raises(ConnectionResetError):
        await writer.flushed()


class Slow:
    """Takes a message each `pause_s` seconds."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.sent: list[bytes] = []

    async def send(self, message: Any) -> None:
        await asyncio.sleep(self.pause_s)
        self.sent.append(message.get("body", b""))


async def test_a_client_that_reads_slowly_gets_all_of_a_long_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: only one that takes nothing is given up."""
    monkeypatch.setattr(stall, "STALL_S", 0.15)
    monkeypatch.setattr(sse_writer, "PIECE", 4)
    client = Slow(0.03)
    writer = SseWriter(Reply(client.send, "r"))
    writer.write(b"head")
    writer.write(b"a tail of many pieces, which the client takes one by one")
    await writer.flushed()
    writer.write(b"end")
    await writer.flushed()
    assert b"".join(client.sent) == b"heada tail of many pieces, which the client takes one by oneend"


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "STALL_S", 0.05)
    reply = Reply(Slow(60).send, "r")
    writer = SseWriter(reply)
    writer.write(b"a")
    with pytest.raises(TimeoutError):
        await writer.flushed()
    with pytest.raises(ClientGone):
        await reply.end()

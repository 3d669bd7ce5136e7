"""Writing from plain function calls: nothing lost, nothing out of order, and a slow client blocks nobody."""

import asyncio
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ShuttingDown
from gateway.http import sse_writer, stall
from gateway.http.body import ClientGone
from gateway.http.reply import Reply
from gateway.http.sse_writer import SseWriter
from tests.waiting import soon


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


@settings(deadline=None)
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


async def test_waits_for_a_slow_client_are_written_down_as_one() -> None:
    """Its stream's last events, and the end of the answer: from the first wait to the end of the last."""
    began = time.monotonic()
    reply = Reply(Socket(full={1, 2, 3}).send, "r")
    writer = SseWriter(reply)
    assert reply.waited == (0, 0)
    for chunk in (b"a", b"b"):
        writer.write(chunk)
        await writer.flushed()
    first = reply.waited
    await reply.end()
    assert began <= first[0] < first[1] < reply.waited[1] <= time.monotonic()
    assert reply.waited[0] == first[0]
    assert reply.waited[1] - reply.waited[0] > 0.003


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
    """Takes a byte each `byte_s` seconds."""

    def __init__(self, byte_s: float) -> None:
        self.byte_s = byte_s
        self.sent: list[bytes] = []

    async def send(self, message: Any) -> None:
        body = message.get("body", b"")
        await asyncio.sleep(self.byte_s * max(1, len(body)))
        self.sent.append(body)


TAIL = [
    b"a ta",
    b"il ",
    b"of many",
    b" pieces,",
    b" whi",
    b"ch t",
    b"he clie",
    b"nt t",
    b"akes",
    b" one",
    b" by ",
    b"one",
]


async def test_a_client_that_reads_slowly_gets_all_of_a_long_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: only one that takes nothing is given up."""
    monkeypatch.setattr(stall, "STALL_S", 0.4)
    monkeypatch.setattr(sse_writer, "PIECE", 4)
    client = Slow(0.0125)
    writer = SseWriter(Reply(client.send, "r"))
    writer.write(b"head")
    for piece in TAIL:
        writer.write(piece)
    await writer.flushed()
    writer.write(b"end")
    await writer.flushed()
    assert b"".join(client.sent) == b"".join([b"head", *TAIL, b"end"])


async def test_a_client_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stall, "STALL_S", 0.05)
    reply = Reply(Slow(60).send, "r")
    writer = SseWriter(reply)
    writer.write(b"a")
    with pytest.raises(ClientGone):
        await writer.flushed()
    with pytest.raises(ClientGone):
        await reply.end()


class Connection:
    """A client's connection as uvicorn writes to it: `send` waits while there is too much that the client has not read, and
    writes nothing then.
    """

    def __init__(self, most: int) -> None:
        self.most, self.unread, self.sent = most, 0, b""
        self.starts: list[int] = []
        self.room = asyncio.Event()
        self.room.set()

    async def send(self, message: Any) -> None:
        await self.room.wait()
        if message["type"] == "http.response.start":
            self.starts.append(message["status"])
        body = message.get("body", b"")
        self.sent += body
        self.unread += len(body)
        if self.unread > self.most:
            self.room.clear()

    async def read(self) -> None:
        """All that is there."""
        self.unread = 0
        self.room.set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def told(number: int) -> bytes:
    return b'data: {"n":%03d,"text":"%b"}\n\n' % (number, b"x" * (number % 90))


@pytest.mark.parametrize("piece", [1, 100, 10**6])
@pytest.mark.parametrize("reads", range(4))
async def test_a_slow_client_whose_engines_go_hears_of_it_between_two_events(
    piece: int, reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse_writer, "PIECE", piece)
    client = Connection(most=400)
    writer = SseWriter(Reply(client.send, "r"))
    writer.beat()
    for number in range(60):
        writer.write(told(number))
    for _ in range(reads):
        await client.read()
    writer.beat()
    writer.write(told(60))
    while len(client.sent) < sum(len(told(number)) for number in range(61)):
        await client.read()
    await writer.flushed()
    assert client.sent.replace(sse_writer.COMMENT, b"") == b"".join(told(number) for number in range(61))
    events = client.sent.split(b"\n\n")
    assert all(event == b": waiting" or event.startswith(b"data: {") for event in events[:-1])
    assert (events[0], events[-1]) == (b": waiting", b"")


@pytest.mark.parametrize("reads", range(12))
async def test_what_ends_a_slow_clients_stream_stands_after_a_whole_event(
    reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse_writer, "PIECE", 64)
    client = Connection(most=100)
    reply = Reply(client.send, "r")
    writer = SseWriter(reply)
    for number in range(60):
        writer.write(told(number))
    for _ in range(reads):
        await client.read()
    writer.abandon()
    ending = asyncio.create_task(reply.error(ShuttingDown("It stopped.")))
    await soon(lambda: client.room.set() or ending.done(), 2, "its end")
    *events, end, done, nothing = client.sent.split(b"\n\n")
    assert b"".join(told(number) for number in range(len(events))) == b"".join(event + b"\n\n" for event in events)
    assert end.startswith(b'data: {"error"')
    assert (done, nothing, client.starts) == (b"data: [DONE]", b"", [200])


async def test_a_client_that_took_nothing_yet_hears_one_comment_and_one_beginning() -> None:
    client = Connection(most=10**6)
    client.room.clear()
    writer = SseWriter(Reply(client.send, "r"))
    for _ in range(3):
        writer.beat()
        await asyncio.sleep(0)
    writer.write(told(1))
    await client.read()
    await writer.flushed()
    assert (client.starts, client.sent) == ([200], sse_writer.COMMENT + told(1))

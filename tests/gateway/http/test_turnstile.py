"""Waiting at the door: comments meanwhile, one answer, and never a permit that nobody holds."""

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.admission import Admission, Permit
from gateway.admission.fair_queue import FairQueue
from gateway.admission.ticket import Capacity, Policy, Ticket
from gateway.errors import DeadlineExpired, QueueFull, ShuttingDown, SluiceError, TenantQueueFull
from gateway.http.reply import Reply
from gateway.http.sse_writer import COMMENT, SseWriter
from gateway.http.turnstile import TIMING, Turnstile
from tests.waiting import soon


class Client:
    """The client's end of an ASGI server. `stuck`: its socket takes nothing until it is told to; `gone`: it raises."""

    def __init__(self, *, stuck: bool = False, gone: bool = False) -> None:
        self.messages: list[Any] = []
        self.reading = asyncio.Event()
        self._gone = gone
        if not stuck:
            self.reading.set()

    async def send(self, message: Any) -> None:
        if self._gone:
            raise ConnectionResetError
        await self.reading.wait()
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def starts(self) -> list[int]:
        return [message["status"] for message in self.messages if message["type"] == "http.response.start"]


def gate(sequences: int = 1, beat_s: float = 0.01, **policy: Any) -> Admission:
    return Admission(FairQueue(Policy(reserve=0.0, **policy), Capacity(sequences, 10**6)), beat_s=beat_s)


def ticket(tenant: str = "t", **more: Any) -> Ticket:
    return Ticket(tenant, tenant, 10, 10, **more)


def is_empty(admission: Admission) -> bool:
    status = admission.status()
    return (status.running, status.running_sequences, status.waiting, status.prefill_tokens) == (0, 0, 0, 0)


async def taken(turnstile: Turnstile, admission: Admission, client: Client, *, stream: bool = True) -> Permit:
    return await turnstile.permit(admission, ticket("other"), writer_to(client), stream=stream)


def writer_to(client: Client) -> SseWriter:
    return SseWriter(Reply(client.send, "r"))


async def test_who_need_not_wait_is_sent_nothing() -> None:
    admission, client = gate(), Client()
    writer = writer_to(client)
    with await Turnstile().permit(admission, ticket("other"), writer, stream=True):
        assert admission.status().running == 1
    assert client.messages == []
    assert writer.reply.extra == [(TIMING, b"queue;dur=0.0")], "the answer's headers will tell that it did not wait"
    assert is_empty(admission)


async def test_a_stream_that_waits_hears_comments_and_begins_once() -> None:
    admission, client, turnstile = gate(), Client(), Turnstile()
    writer = writer_to(client)
    with await turnstile.permit(admission, ticket(), writer, stream=True):
        waiting = asyncio.create_task(turnstile.permit(admission, ticket("b"), writer, stream=True))
        await soon(lambda: client.body.count(COMMENT) >= 3, 5)
    with await waiting as permit:
        writer.write(b"data: 1\n\n")
    assert client.starts == [200]
    told = b": queue;dur=%.1f\n\n" % (permit.waited_s * 1e3)
    assert client.body == COMMENT * client.body.count(COMMENT) + told + b"data: 1\n\n"
    assert is_empty(admission)


async def test_an_answer_that_is_not_streamed_hears_nothing() -> None:
    admission, client, turnstile = gate(), Client(), Turnstile()
    with await taken(turnstile, admission, Client()):
        waiting = asyncio.create_task(taken(turnstile, admission, client, stream=False))
        await asyncio.sleep(0.05)
    (await waiting).release()
    assert client.messages == []


async def test_a_refusal_is_raised() -> None:
    admission, turnstile = gate(max_requests=1), Turnstile()
    first = await taken(turnstile, admission, Client())
    second = asyncio.create_task(taken(turnstile, admission, Client()))
    await soon(lambda: admission.status().waiting == 1, 5)
    with pytest.raises(TenantQueueFull) as caught:
        await taken(turnstile, admission, Client())
    assert caught.value.retry_after >= 1
    first.release()
    (await second).release()
    assert is_empty(admission)


async def test_a_deadline_that_passes_is_raised_after_the_comments() -> None:
    admission, turnstile, client = gate(), Turnstile(), Client()
    with await taken(turnstile, admission, Client()):
        late = ticket(deadline=admission.now() + 0.05)
        with pytest.raises(DeadlineExpired):
            await turnstile.permit(admission, late, writer_to(client), stream=True)
    assert client.starts == [200]
    assert is_empty(admission)


@pytest.mark.parametrize("stream", [False, True])
async def test_closing_refuses_who_waits_and_who_comes_and_leaves_alone_who_runs(stream: bool) -> None:
    admission, turnstile = gate(), Turnstile()
    with await taken(turnstile, admission, Client()):
        waiting = [asyncio.create_task(taken(turnstile, admission, Client(), stream=stream)) for _ in range(3)]
        await soon(lambda: admission.status().waiting == 3, 5)
        turnstile.close()
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, ShuttingDown)
        assert [task.cancelling() for task in waiting] == [0, 0, 0]
        with pytest.raises(ShuttingDown):
            await taken(turnstile, admission, Client(), stream=stream)
        assert (admission.status().running, admission.status().waiting) == (1, 0)
    assert is_empty(admission)


async def test_closing_as_a_permit_is_on_its_way_leaves_none_behind() -> None:
    admission, turnstile = gate(), Turnstile()
    first = await taken(turnstile, admission, Client())
    waiting = asyncio.create_task(taken(turnstile, admission, Client()))
    await soon(lambda: admission.status().waiting == 1, 5)
    first.release()
    turnstile.close()
    with pytest.raises(ShuttingDown):
        await waiting
    assert is_empty(admission)


async def test_a_client_that_has_not_read_its_comments_starts_when_its_turn_comes() -> None:
    """A permit that waited for it would keep its places from everybody, with nothing at an engine."""
    admission, turnstile, client = gate(), Turnstile(), Client(stuck=True)
    writer = writer_to(client)
    with await taken(turnstile, admission, Client()):
        waiting = asyncio.create_task(turnstile.permit(admission, ticket("b"), writer, stream=True))
        await soon(lambda: writer.begun, 5, "a comment on its way")
    with await asyncio.wait_for(waiting, 1):
        writer.write(b"data: 1\n\n")
    client.reading.set()
    await writer.flushed()
    assert client.starts == [200]
    assert re.fullmatch(rb": waiting\n\n: queue;dur=[\d.]+\n\ndata: 1\n\n", client.body)
    assert is_empty(admission)


REFUSED_ON_THE_WAY = {
    "chat": b'data: {"error":{"message":',
    "responses": b'event: error\ndata: {"type":"error","code":"queue_full"',
    "messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"',
}


@pytest.mark.parametrize("events", REFUSED_ON_THE_WAY)
async def test_a_refusal_after_comments_is_the_streams_last_event(events: Any) -> None:
    client = Client()
    reply = Reply(client.send, "r")
    reply.events, reply.dialect = events, "anthropic" if events == "messages" else "openai"
    await reply.start(200, [])
    await reply.write(COMMENT)
    await reply.error(QueueFull("The queue is full. Try again in 9 s.", retry_after=9))
    assert client.starts == [200]
    said = client.body.removeprefix(COMMENT)
    assert said.startswith(REFUSED_ON_THE_WAY[events])
    assert b"Try again in 9 s." in said
    assert json.loads(said.split(b"data: ")[1].split(b"\n")[0])


@settings(max_examples=60, deadline=None)
@given(
    fates=st.lists(st.sampled_from(["served", "leaves", "late", "streams", "breaks"]), min_size=1, max_size=12),
    turns=st.lists(st.integers(0, 6), min_size=12, max_size=12),
    closes=st.none() | st.integers(0, 30),
)
def test_whatever_happens_at_any_moment_nothing_is_left_running_or_waiting(
    fates: list[str], turns: list[int], closes: int | None
) -> None:
    async def scenario() -> None:
        admission, turnstile = gate(sequences=2, beat_s=0.0005, tenant_share=1.0), Turnstile()

        async def request(fate: str, turns: int) -> None:
            client = Client(gone=fate == "breaks")
            deadline = admission.now() + 0.001 if fate == "late" else None
            permit = turnstile.permit(admission, ticket(deadline=deadline), writer_to(client), stream=fate != "served")
            with await permit:
                assert admission.status().running <= 2
                for _ in range(turns):
                    await asyncio.sleep(0.0002)

        tasks = [asyncio.create_task(request(*one)) for one in zip(fates, turns, strict=False)]
        for turn in range(30):
            if closes == turn:
                turnstile.close()
            if turn < len(fates) and fates[turn] == "leaves":
                tasks[turn].cancel()
            await asyncio.sleep(0)
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        expected = (SluiceError, asyncio.CancelledError)
        assert all(outcome is None or isinstance(outcome, expected) for outcome in outcomes)
        assert is_empty(admission)

    asyncio.run(scenario())

"""Clients that do not read what they asked for, with their connections open: they keep no place at the engines."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import numpy
import pytest
import pytest_asyncio
from vllm.v1.engine import FinishReason
from vllm.v1.outputs import LogprobsLists

from gateway.http import sse_writer, stall
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.full_fronts import BODIES, CHAT, Full, is_empty, one_test, opened
from tests.gateway.pool.scripted import TOKEN
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

RELAYED: dict[str, tuple[str, dict[str, Any]]] = {
    "two choices": (CHAT, {"n": 2}),
    "logprobs": (CHAT, {"logprobs": True}),
    "responses": ("/v1/responses", {}),
    "messages": ("/v1/messages", {}),
}
STREAMS = {"plain": (CHAT, dict[str, Any]()), **RELAYED}
EVENT, DATA = re.compile(rb"(event: \S+\n)?data: (\{[^\n]*\}|\[DONE\])"), re.compile(rb"^data: (\{.*)", re.MULTILINE)
LOGPROBS = LogprobsLists(numpy.array([[TOKEN]]), numpy.zeros((1, 1), numpy.float32), numpy.array([1]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Full]:
    async with opened(tmp_path_factory.mktemp("slow")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(front: Full) -> AsyncIterator[None]:
    async with one_test(front):
        yield


class Stuck:
    """A client that takes nothing more once its engine has begun, as the server sees it: `send` does not return."""

    def __init__(self, front: Full, path: str, more: dict[str, Any]) -> None:
        front.of("a")
        self._body = json.dumps(BODIES[path] | {"model": SPEC.name, "stream": True} | more).encode()
        headers = {"authorization": f"Bearer {front.keys['a/standard']}", "content-type": "application/json"}
        self._scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "scheme": "http",
            "client": ("127.0.0.1", 1),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        self.front, self.more = front, more
        self.reads, self.stuck, self.takes_one = True, asyncio.Event(), asyncio.Event()
        self.statuses: list[int] = []
        self.body = b""
        self.task = asyncio.create_task(front.app.door(self._scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if body := self._body:
            self._body = b""
            return {"type": "http.request", "body": body, "more_body": False}
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def _send(self, message: Any) -> None:
        if not self.reads:
            self.stuck.set()
            await self.takes_one.wait()
            self.takes_one.clear()
        if message["type"] == "http.response.start":
            self.statuses.append(message["status"])
        self.body += message.get("body", b"")

    async def begun(self) -> list[str]:
        """Its sequences at the engine, once it has been sent what it does not read."""
        await soon(lambda: len(self.front.at_engine) == self.more.get("n", 1), 5, "its sequences")
        self.reads = False
        self.say(*(names := self.front.at_engine))
        await asyncio.wait_for(self.stuck.wait(), 5)
        return names

    def say(self, *names: str, finish: FinishReason | None = None) -> None:
        self.front.engine.core.say(*names, finish=finish, logprobs=LOGPROBS if "logprobs" in self.more else None)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.mark.parametrize(("path", "more"), STREAMS.values(), ids=STREAMS)
async def test_its_places_are_free_once_the_engine_is_done(front: Full, path: str, more: dict[str, Any]) -> None:
    client = Stuck(front, path, more)
    *early, last = await client.begun()
    for name in early:
        client.say(name, finish=FinishReason.LENGTH)
    await soon(lambda: front.admission.running_sequences == 1, 2, "one at a time")
    client.say(last, finish=FinishReason.LENGTH)
    await soon(lambda: is_empty(front), 2, "no place taken")
    assert not client.task.done()
    await client.leave()


@pytest.mark.parametrize(("path", "more"), RELAYED.values(), ids=RELAYED)
async def test_after_a_while_it_is_given_up_and_so_is_what_it_asked_for(
    front: Full, path: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "STALL_S", 0.1)
    client = Stuck(front, path, more)
    await client.begun()
    await asyncio.wait_for(client.task, 2)
    await soon(lambda: not front.at_engine, 2, "nothing of it at the engine")


async def test_a_plain_stream_that_nobody_reads_is_given_up_after_its_end(
    front: Full, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stall, "STALL_S", 0.1)
    client = Stuck(front, CHAT, {})
    client.say(*await client.begun(), finish=FinishReason.LENGTH)
    await asyncio.wait_for(client.task, 2)


@pytest.mark.parametrize(("path", "more"), STREAMS.values(), ids=STREAMS)
async def test_one_that_reads_slowly_as_its_engines_go_gets_whole_events_with_comments_between_them(
    front: Full, path: str, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse_writer, "PIECE", 64)
    client = Stuck(front, path, more)
    names = await client.begun()
    for _ in range(8):
        client.say(*names)
    replacing = asyncio.create_task(front.replace_engine(away_s=0.5))
    while not replacing.done():
        client.takes_one.set()
        await asyncio.sleep(0.03)
    await soon(lambda: len(front.at_engine) == len(names), 5, "its sequences at the next engine")
    client.say(*front.at_engine, finish=FinishReason.LENGTH)
    while not client.task.done():
        client.takes_one.set()
        await asyncio.sleep(0)
    assert client.statuses == [200]
    *events, rest = client.body.split(b"\n\n")
    assert rest == b""
    told = [event for event in events if event != b": waiting"]
    assert 0 < len(told) < len(events), "it heard of its wait"
    assert all(EVENT.fullmatch(event) for event in told)
    assert all(json.loads(line) for event in told for line in DATA.findall(event))

"""Who may start when the engines are full, from the HTTP port to the token channel: two sequences, whose tokens come on demand."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio
from vllm.v1.engine import FinishReason

from gateway.admission.fair_queue import FairQueue
from gateway.auth.store import KeyStore
from gateway.http import door
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import TOKEN, name_of
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
TURN = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": TURN, "max_tokens": 50},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 50},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 50},
    "/v1/messages": {"messages": TURN, "max_tokens": 50},
}
TOO_LONG: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "long " * 2100}]},
    "/v1/completions": {"prompt": "long " * 2100},
    "/v1/responses": {"input": "long " * 2100},
    "/v1/messages": {"messages": [{"role": "user", "content": "long " * 2100}]},
}
SEQUENCES = 2
ADMISSION = {
    "max_requests": 6,
    "reserve": 0,
    "keep_alive_s": 0.1,
    "tiers": {"one-at-a-time": {"key_concurrency": 1}, "heavy": {"weight": 3}},
}


class ErrorEvent(Exception):
    """What OpenAI's client gives for an error in a stream of the Responses API: an event, raised by its reader."""


class Full(Front):
    """A gateway whose engine is kept full by `hold`."""

    def of(self, tenant: str, tier: str = "standard") -> httpx.AsyncClient:
        name = f"{tenant}/{tier}"
        if name not in self.clients:
            _, key = KeyStore(self.config.keys_file).create(name=name, tenant=tenant, tier=tier, now=0)
            self.keys[name] = key
            self.clients[name] = self.client(key)
        return self.clients[name]

    async def open(self) -> None:
        self.clients: dict[str, httpx.AsyncClient] = {}
        self.keys: dict[str, str] = {}
        self.held: list[asyncio.Task[httpx.Response]] = []
        await super().open()

    async def close(self) -> None:
        for client in self.clients.values():
            await client.aclose()
        await super().close()

    @property
    def admission(self) -> Any:
        return self.backend.admission.status()

    @property
    def at_engine(self) -> list[str]:
        return [name_of(owned.request_id) for owned in self.engine.outlet._owned.values()]

    async def hold(self, tenant: str = "holder") -> None:
        """All sequences busy, by streams that say nothing until `let_go`."""
        for _ in range(SEQUENCES):
            asking = self.of(tenant).post(CHAT, json=BODIES[CHAT] | {"model": SPEC.name})
            self.held.append(asyncio.create_task(asking))
        await soon(lambda: len(self.at_engine) == SEQUENCES, 10, "a full engine")

    async def let_go(self) -> None:
        """What is held, and whatever comes to the engine meanwhile, is answered."""
        while self.admission.running or self.admission.waiting:
            self.engine.core.say(*self.at_engine, tokens=[TOKEN, TOKEN], finish=FinishReason.LENGTH)
            await asyncio.sleep(0.01)
        for reply in await asyncio.gather(*self.held):
            assert reply.status_code == 200
        self.held.clear()

    async def let_go_one(self) -> str:
        """The id of who comes in its place."""
        before = self.at_engine
        self.engine.core.say(before[0], tokens=[TOKEN, TOKEN], finish=FinishReason.LENGTH)
        await soon(lambda: len(set(self.at_engine) - set(before)) == 1, 5, "the next at the engine")
        (new,) = set(self.at_engine) - set(before)
        return new

    async def waiting(self, number: int) -> None:
        await soon(lambda: self.admission.waiting == number, 5, f"{number} that wait")

    def prompt_of(self, request_id: str) -> int:
        return len(self.engine.core.requests[request_id].prompt_token_ids)


@contextlib.asynccontextmanager
async def opened(folder: Any, **admission: Any) -> AsyncIterator[Full]:
    running = Full(folder, SEQUENCES, admission=ADMISSION | admission, drain_s=30)
    await running.open()
    # Keys are read once a second at most.
    for tenant, tier in [(t, "standard") for t in ("holder", *"abcdefg")] + [("a", "one-at-a-time")]:
        running.of(tenant, tier)
    yield running
    await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Full]:
    async with opened(tmp_path_factory.mktemp("admission")) as running:
        yield running


def is_empty(front: Full) -> bool:
    status = front.admission
    return (status.running, status.running_sequences, status.prefill_tokens, status.waiting) == (0, 0, 0, 0)


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(front: Full) -> AsyncIterator[None]:
    """And each test begins with a queue that has learned and promised nothing."""
    gate = front.backend.admission
    gate.queue = FairQueue(gate.queue.policy, gate.queue.capacity)
    yield
    await asyncio.wait_for(front.let_go(), 10)
    await soon(lambda: is_empty(front), 5, "no permit and no place left behind")


def ask(client: httpx.AsyncClient, path: str = CHAT, **more: Any) -> asyncio.Task[httpx.Response]:
    headers = more.pop("headers", {})
    return asyncio.create_task(client.post(path, json=BODIES[path] | {"model": SPEC.name} | more, headers=headers))


def words(number: int) -> dict[str, Any]:
    """A chat turn that can be told from others by its length."""
    return {"messages": [{"role": "user", "content": "x" * number}]}


def code_of(event: str) -> str:
    """Of an error event's data, whatever its dialect."""
    said = json.loads(event)
    error = said.get("error", said)
    return error.get("code") or error["type"]


async def test_a_tenant_that_comes_new_goes_before_those_who_already_run_more(front: Full) -> None:
    await front.hold("a")
    tasks = [ask(front.of("a"), **words(100)) for _ in range(2)]
    await front.waiting(2)
    tasks.append(ask(front.of("b"), **words(300)))
    await front.waiting(3)
    order = [front.prompt_of(await front.let_go_one()) for _ in range(3)]
    assert order[0] > order[1] == order[2]
    await front.let_go()
    assert [(await task).status_code for task in tasks] == [200] * 3


async def test_an_interactive_request_overtakes_batch_ones_but_for_the_one_whose_turn_it_is(front: Full) -> None:
    await front.hold()
    tasks = [ask(front.of(tenant), headers={"x-sluice-priority": "batch"}, **words(100)) for tenant in "abcd"]
    await front.waiting(4)
    tasks.append(ask(front.of("a"), headers={"x-sluice-priority": "interactive"}, **words(300)))
    await front.waiting(5)
    order = [front.prompt_of(await front.let_go_one()) for _ in range(5)]
    assert order.index(max(order)) <= 1
    await front.let_go()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_a_tenant_that_holds_its_part_of_the_queue_is_told_429(front: Full, path: str, stream: bool) -> None:
    await front.hold()
    waiting = [ask(front.of("a"), path) for _ in range(2)]
    await front.waiting(2)
    reply = await ask(front.of("a"), path, stream=stream)
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (429, "tenant_queue")
    assert int(reply.headers["retry-after"]) >= 1
    error = reply.json()["error"]
    assert f"Try again in {reply.headers['retry-after']} s." in error["message"]
    if path == "/v1/messages":
        assert error["type"] == "rate_limit_error"
    else:
        assert (error["type"], error["code"]) == ("rate_limit_error", "tenant_queue")
    assert not any(task.done() for task in waiting)
    await front.let_go()
    await asyncio.gather(*waiting)


async def test_a_full_queue_is_a_503_to_who_has_no_part_in_it(front: Full) -> None:
    await front.hold()
    waiting = [ask(front.of(tenant)) for tenant in "abcdef"]
    await front.waiting(6)
    reply = await ask(front.of("g"))
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (503, "queue_full")
    assert (reply.json()["error"]["code"], int(reply.headers["retry-after"]) >= 1) == ("queue_full", True)
    await front.let_go()
    await asyncio.gather(*waiting)


async def test_a_key_has_no_more_in_progress_than_its_tier_allows(front: Full) -> None:
    client = front.of("a", "one-at-a-time")
    first = ask(client)
    await front.asked()
    reply = await ask(client)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "key_concurrency")
    assert int(reply.headers["retry-after"]) >= 1
    await front.let_go()
    assert (await first).status_code == 200
    again = ask(client)
    await front.asked()
    await front.let_go()
    assert (await again).status_code == 200


@pytest.mark.parametrize("header", ["x-sluice-priority", "x-sluice-deadline-ms"])
async def test_a_header_that_means_nothing_is_a_400_that_names_it(front: Full, header: str) -> None:
    reply = await ask(front.of("a"), headers={header: "soon"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, header)


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_that_waits_is_kept_alive_and_then_is_as_any_other(front: Full, path: str) -> None:
    """As raw bytes; what its dialect's own client makes of it is the next test's."""
    body = BODIES[path] | {"model": SPEC.name, "stream": True}

    async def stream(client: httpx.AsyncClient) -> str:
        return (await client.post(path, json=body)).text

    async def answered() -> None:
        request_id = await front.asked() if front.engine.outlet.in_flight <= 1 else await front.let_go_one()
        front.engine.core.say(request_id, tokens=[TOKEN] * 3)
        front.engine.core.say(request_id, finish=FinishReason.LENGTH)

    plain, _ = await asyncio.gather(stream(front.of("a")), answered())
    await front.hold()
    waiting = asyncio.create_task(stream(front.of("a")))
    await front.waiting(1)
    await asyncio.sleep(0.35)
    await answered()
    said = await waiting
    comments = said.count(": waiting\n\n")
    assert comments >= 2
    assert said.startswith(": waiting\n\n" * comments)
    assert shape(said.replace(": waiting\n\n", "")) == shape(plain)
    assert "error" not in said


def shape(stream: str) -> list[str]:
    """What does not change from one stream to the next: event names, and each event's keys."""
    lines = [line for line in stream.split("\n") if line]
    return [str(sorted(json.loads(line[6:]))) if line.startswith("data: {") else line for line in lines]


async def with_openai_chat(front: Full) -> str:
    async with openai.AsyncOpenAI(**sdk(front, "/v1")) as client:
        chunks = await client.chat.completions.create(model=SPEC.name, messages=TURN, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


async def with_openai_completions(front: Full) -> str:
    async with openai.AsyncOpenAI(**sdk(front, "/v1")) as client:
        chunks = await client.completions.create(model=SPEC.name, prompt="Hello", stream=True)
        return "".join([chunk.choices[0].text async for chunk in chunks])


async def with_openai_responses(front: Full) -> str:
    text = ""
    async with openai.AsyncOpenAI(**sdk(front, "/v1")) as client:
        async for event in await client.responses.create(model=SPEC.name, input="Hello", stream=True):
            if event.type == "error":
                raise ErrorEvent(event.message)
            text += event.delta if event.type == "response.output_text.delta" else ""
    return text


async def with_openai_responses_helper(front: Full) -> str:
    async with (
        openai.AsyncOpenAI(**sdk(front, "/v1")) as client,
        client.responses.stream(model=SPEC.name, input="Hello") as stream,
    ):
        return (await stream.get_final_response()).output_text


async def with_anthropic(front: Full) -> str:
    async with (
        anthropic.AsyncAnthropic(**sdk(front, "")) as client,
        client.messages.stream(model=SPEC.name, messages=TURN, max_tokens=50) as stream,
    ):
        return await stream.get_final_text()


def sdk(front: Full, prefix: str) -> dict[str, Any]:
    return {"base_url": front.url + prefix, "api_key": front.keys["a/standard"], "max_retries": 0}


SDKS = [with_openai_chat, with_openai_completions, with_openai_responses, with_anthropic]


@pytest.mark.parametrize("client", [*SDKS, with_openai_responses_helper])
async def test_no_client_minds_the_comments(front: Full, client: Callable[[Full], Any]) -> None:
    await front.hold()
    waiting = asyncio.create_task(client(front))
    await front.waiting(1)
    await asyncio.sleep(0.25)
    await front.let_go()
    assert await waiting == "zz"


@pytest.mark.parametrize("client", SDKS)
async def test_a_refusal_after_comments_is_an_error_to_every_client(
    front: Full, client: Callable[[Full], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front.app.door.tickets, "_deadline_s", 0.25)
    await front.hold()
    with pytest.raises(
        (openai.APIError, anthropic.APIStatusError, ErrorEvent), match="deadline passed while it waited"
    ):
        await client(front)


@pytest.mark.parametrize("path", BODIES)
async def test_a_deadline_that_passes_ends_a_stream_with_an_event(front: Full, path: str) -> None:
    await front.hold()
    begun = time.monotonic()
    reply = await ask(front.of("a"), path, stream=True, headers={"x-sluice-deadline-ms": "250"})
    assert 0.2 < time.monotonic() - begun < 2
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    lines = [line for line in reply.text.split("\n") if line and line != ": waiting"]
    if path in (CHAT, "/v1/completions"):
        assert lines.pop() == "data: [DONE]"
    else:
        assert lines.pop(0) == "event: error"
    (line,) = lines
    expected = "overloaded_error" if path == "/v1/messages" else "deadline_expired"
    assert code_of(line.removeprefix("data: ")) == expected
    assert front.admission.waiting == 0


async def test_a_deadline_that_passes_is_a_503_to_who_wants_no_stream(front: Full) -> None:
    await front.hold()
    reply = await ask(front.of("a"), headers={"x-sluice-deadline-ms": "100"})
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (503, "deadline_expired")
    assert int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", BODIES)
async def test_what_vllm_refuses_after_comments_is_an_event_too(front: Full, path: str) -> None:
    await front.hold()
    waiting = ask(front.of("a"), path, stream=True, **TOO_LONG[path])
    await front.waiting(1)
    await asyncio.sleep(0.25)
    await front.let_go()
    reply = await waiting
    assert reply.status_code == 200
    assert reply.text.startswith(": waiting\n\n")
    (error,) = [line[6:] for line in reply.text.split("\n") if line.startswith("data: {")]
    assert code_of(error) == ("invalid_request_error" if path == "/v1/messages" else "context_length_exceeded")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_a_client_that_leaves_gives_up_its_place_at_once(front: Full, path: str, stream: bool) -> None:
    await front.hold()
    waiting = ask(front.of("a"), path, stream=stream)
    await front.waiting(1)
    await asyncio.sleep(0.15)
    waiting.cancel()
    begun = time.monotonic()
    await front.waiting(0)
    assert time.monotonic() - begun < 0.2
    assert (front.admission.running, len(front.at_engine)) == (SEQUENCES, SEQUENCES)


async def test_who_waits_outlasts_the_engines(front: Full) -> None:
    """Its place is kept while there is no engine; who comes meanwhile is told that there is none."""
    await front.hold()
    waiting = ask(front.of("a"))
    await front.waiting(1)
    replacing = asyncio.create_task(front.replace_engine(away_s=0.8))
    await soon(lambda: not front.backend.pool.available, 5)
    late = await ask(front.of("b"))
    assert (late.status_code, late.json()["error"]["code"]) == (503, "engine_unavailable")
    assert front.admission.waiting == 1
    await replacing
    await front.let_go()
    assert (await waiting).status_code == 200


async def test_status_and_metrics_tell_of_the_queue(front: Full) -> None:
    await front.hold()
    waiting = [ask(front.of("a")), ask(front.of("b"), headers={"x-sluice-priority": "batch"})]
    await front.waiting(2)
    await ask(front.of("c"), headers={"x-sluice-deadline-ms": "100"})
    (model,) = (await front.http.get(f"{front.management}/status")).json()["models"]
    queue = model["admission"]
    assert (queue["waiting"], queue["running"], queue["refused"]["deadline_expired"] >= 1) == (2, SEQUENCES, True)
    assert {name: each["requests"] for name, each in queue["by_class"].items()} == {
        "interactive": 0,
        "standard": 1,
        "batch": 1,
    }
    assert queue["waiting_tokens"] > 0
    assert queue["oldest_s"] > 0
    text = (await front.http.get(f"{front.management}/metrics")).text
    assert 'sluice_queue_requests{class="batch",model="demo"} 1.0' in text
    assert 'sluice_queue_tokens{class="interactive",model="demo"} 0.0' in text
    assert 'sluice_queue_oldest_seconds{model="demo"} 0.' in text
    assert 'sluice_admission_refused_total{model="demo",reason="deadline_expired"}' in text
    await front.let_go()
    await asyncio.gather(*waiting)
    text = (await front.http.get(f"{front.management}/metrics")).text
    assert 'sluice_admission_wait_seconds_count{class="batch",model="demo"}' in text


async def test_a_gateway_that_stops_refuses_who_waits_and_lets_end_who_runs(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINGER_S", 0.3)
    async with opened(tmp_path) as front:
        await front.hold()
        whole, streamed = ask(front.of("a")), ask(front.of("b"), "/v1/messages", stream=True)
        await front.waiting(2)
        await asyncio.sleep(0.15)
        begun = time.monotonic()
        draining = asyncio.create_task(front.app.door.drain(30))
        reply = await whole
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "shutting_down")
        assert int(reply.headers["retry-after"]) >= 1
        event = (await streamed).text
        assert event.startswith(": waiting\n\n")
        assert '"overloaded_error"' in event.rsplit("event: error\n", 1)[1]
        assert (front.admission.running, front.admission.waiting) == (SEQUENCES, 0)
        await front.let_go()
        await draining
        assert time.monotonic() - begun < 5
        assert is_empty(front)

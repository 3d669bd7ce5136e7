"""A stream that waits: comments meanwhile, then what it would have been anyway, or an error event in its dialect's form."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest
import pytest_asyncio
from vllm.v1.engine import FinishReason

from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.full_fronts import BODIES, CHAT, TURN, Full, ask, code_of, one_test, opened
from tests.gateway.pool.scripted import TOKEN

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOO_LONG: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "long " * 2100}]},
    "/v1/completions": {"prompt": "long " * 2100},
    "/v1/responses": {"input": "long " * 2100},
    "/v1/messages": {"messages": [{"role": "user", "content": "long " * 2100}]},
}


class ErrorEvent(Exception):
    """What OpenAI's client gives for an error in a stream of the Responses API: an event, raised by its reader."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Full]:
    async with opened(tmp_path_factory.mktemp("admission")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(front: Full) -> AsyncIterator[None]:
    async with one_test(front):
        yield


@pytest.mark.parametrize("path", BODIES)
async def test_a_stream_that_waits_is_kept_alive_and_then_is_as_any_other(front: Full, path: str) -> None:
    """As raw bytes; what its dialect's own client makes of it is the next test's."""
    body = BODIES[path] | {"model": SPEC.name, "stream": True}

    async def stream(client: httpx.AsyncClient) -> str:
        return (await client.post(path, json=body)).text

    async def answered() -> None:
        request_id = await front.asked() if front.engine.outlet.in_flight <= 1 else await front.let_go_one()
        # In one step: of two, a busy machine makes one event or two.
        front.engine.core.say(request_id, tokens=[TOKEN] * 3, finish=FinishReason.LENGTH)

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
    told, events = re.subn(r": queue;dur=\d+\.\d\n\n", "", said.replace(": waiting\n\n", ""))[::-1]
    assert told == 1, "how long it waited, once"
    assert shape(events) == shape(plain)
    assert "error" not in said


def shape(stream: str) -> list[str]:
    """What does not change from one stream to the next: event names, and each event's keys."""
    lines = [line for line in stream.split("\n") if line and not line.startswith(":")]
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

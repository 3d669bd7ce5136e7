"""A model whose last engine has gone: streams hear that they wait, before they are let in and after."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from vllm.v1.engine import FinishReason

from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import TOKEN, name_of
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = {"model": SPEC.name, "prompt": "hello", "max_tokens": 3, "stream": True}
PATHS = {"/v1/completions": BODY, "/v1/responses": {"model": SPEC.name, "input": "hello", "stream": True}}
COMMENT = ": waiting\n\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory) -> AsyncIterator[Front]:
    folder = tmp_path_factory.mktemp("parked")
    front = Front(folder, admission={"keep_alive_s": 0.1}, engine_wait_s=3, failover={"park_s": 10})
    await front.open()
    yield front
    await front.close()


async def answer(front: Front) -> None:
    asked = name_of(await front.asked())
    front.engine.core.say(asked, tokens=[TOKEN] * 3)
    front.engine.core.say(asked, finish=FinishReason.LENGTH)


async def stream(front: Front, path: str) -> str:
    return (await front.http.post(path, json=PATHS[path])).text


@pytest.mark.parametrize("path", PATHS)
async def test_who_comes_while_no_engine_is_there_hears_comments_until_one_is(front: Front, path: str):
    await front.engine.stop()
    await soon(lambda: not front.backend.pool.available, 5)
    waiting = asyncio.create_task(stream(front, path))
    await front.replace_engine(away_s=0.45)
    await answer(front)
    said = await waiting
    assert said.startswith(COMMENT * 2)
    assert said.count(COMMENT) <= 6
    assert "error" not in said


@pytest.mark.parametrize("path", PATHS)
async def test_who_lost_its_engine_before_the_first_token_hears_comments_until_another_takes_over(
    front: Front, path: str
):
    waiting = asyncio.create_task(stream(front, path))
    await front.asked()
    await front.replace_engine(away_s=0.45)
    await answer(front)
    said = await waiting
    assert said.count(COMMENT) >= 2
    assert "error" not in said


async def test_in_the_middle_of_a_stream_comments_stand_between_events(front: Front):
    heard = asyncio.Event()
    pieces: list[str] = []

    async def read() -> None:
        async with front.http.stream("POST", "/v1/completions", json=BODY) as reply:
            async for piece in reply.aiter_text():
                pieces.append(piece)
                heard.set()

    waiting = asyncio.create_task(read())
    asked = await front.asked()
    front.engine.core.say(asked, tokens=[TOKEN])
    await heard.wait()
    await front.replace_engine(away_s=0.35)
    asked = name_of(await front.asked())
    front.engine.core.say(asked, tokens=[TOKEN])
    front.engine.core.say(asked, finish=FinishReason.LENGTH)
    await waiting
    events = "".join(pieces).split("\n\n")
    assert events.count(": waiting") >= 2
    assert all(event.startswith(("data: ", ": waiting")) for event in events if event)
    assert events[-2:] == ["data: [DONE]", ""]


async def test_one_that_is_not_a_stream_keeps_its_status_and_nobody_is_told_after_its_end(front: Front):
    await front.engine.stop()
    await soon(lambda: not front.backend.pool.available, 5)
    waiting = [
        asyncio.create_task(front.http.post("/v1/completions", json=BODY | {"stream": False})),
        asyncio.create_task(front.http.post("/v1/completions", json=BODY, timeout=0.3)),
    ]
    begun = time.monotonic()
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert time.monotonic() - begun < 8
    assert done[0].status_code == 503
    assert "retry-after" in done[0].headers
    assert front.app.door.in_flight == 0
    await front.replace_engine()

"""A model without any engine: its requests wait, in order and with their deadlines, while whoever starts engines is called."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from vllm.v1.engine import FinishReason

from gateway.app import GatewayApp
from tests.gateway.pool.engines import SPEC, Engine
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import TOKEN, ScriptedCore
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")
BODY = {"model": SPEC.name, "prompt": "hello", "max_tokens": 3}


class Sleeper(Front):
    """No engine is there until `engine` is told to the gateway; `calls` are those that are held pending."""

    def __init__(self, folder) -> None:
        super().__init__(folder, admission={"keep_alive_s": 0.2})
        self.app._peer.close()
        self.app = GatewayApp(self.config, [dataclasses.replace(SPEC, sleeps=True)], "127.0.0.1")
        self.calls, self.called = 0, 0
        self.awake = asyncio.Event()

    async def open(self) -> None:
        async def watch(_model, on_change) -> None:
            self._tell = on_change
            await asyncio.Event().wait()

        async def wake(model: str) -> None:
            assert model == SPEC.name
            self.calls, self.called = self.calls + 1, self.called + 1
            try:
                await self.awake.wait()
            finally:
                self.calls -= 1

        await self.app.open(watch, wake)
        self.management = self.app.card.management
        self.http = self.client(self._key)
        await soon(lambda: SPEC.name in self.app._backends, 60, "an open model")

    async def wake_up(self) -> None:
        self._engines += 1
        self.engine = Engine(f"engine-{self._engines}", ScriptedCore())
        self.engine.outlet.allow([self.app.card.public_key])
        self.awake.set()
        self._tell([self.engine.card(max_num_seqs=1)])
        await soon(lambda: self.backend.pool.available, 10)

    async def fall_asleep(self) -> None:
        await self.engine.outlet.leave()
        await self.engine.stop()
        self._tell([])
        await soon(lambda: not self.backend.pool.available, 10)
        self.awake.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory) -> AsyncIterator[Sleeper]:
    front = Sleeper(tmp_path_factory.mktemp("sleeper"))
    await front.engine.stop()
    await front.open()
    yield front
    await front.close()


async def answer(front: Sleeper) -> None:
    asked = await front.asked()
    front.engine.core.say(asked, tokens=[TOKEN] * 3)
    front.engine.core.say(asked, finish=FinishReason.LENGTH)
    await soon(lambda: all(one.request_id != asked for one in front.engine.outlet._owned.values()), 5)


async def test_it_is_ready_and_listed_though_nobody_is_there(front: Sleeper):
    assert (await front.http.get("/readyz")).status_code == 200
    (model,) = (await front.http.get("/v1/models")).json()["data"]
    assert model["max_model_len"] == 2048
    assert front.called == 0


async def test_requests_wait_for_an_engine_in_order_and_streams_hear_comments(front: Sleeper):
    ended: list[int] = []

    async def ask(number: int) -> str:
        reply = await front.http.post("/v1/completions", json=BODY | {"stream": number % 2 == 0})
        assert reply.status_code == 200, reply.text
        ended.append(number)
        return reply.text

    asking = []
    for number in range(4):
        asking.append(asyncio.create_task(ask(number)))
        await soon(lambda: front.backend.admission.status().waiting == len(asking), 5)
    await soon(lambda: front.calls == 1, 5, "one call, however many wait")
    await asyncio.sleep(0.5)
    assert front.app.status()["models"][0]["waking"] is True
    await front.wake_up()
    assert front.app.status()["models"][0]["waking"] is False
    for _ in range(4):
        await answer(front)
    texts = await asyncio.gather(*asking)
    assert ended == [0, 1, 2, 3]
    assert texts[0].startswith(": waiting")
    assert texts[2].rstrip().endswith("[DONE]")
    await soon(lambda: front.calls == 0, 5, "the call has been answered")


async def test_the_engine_is_told_what_waits_at_this_gateway_and_forgets_who_falls_silent(front: Sleeper):
    asking = [asyncio.create_task(front.http.post("/v1/completions", json=BODY)) for _ in range(3)]
    await soon(lambda: [queue.requests for queue in front.engine.outlet.queues] == [2], 5, "one runs, two wait")
    (queue,) = front.engine.outlet.queues
    assert queue.gateway == front.app._gateway_id
    assert queue.completion > 0
    assert queue.came_prompt > queue.prompt > 0
    front.backend.pool.queue = None
    await soon(lambda: front.engine.outlet.queues == [], 5)
    for _ in range(3):
        await answer(front)
    assert {(await task).status_code for task in asking} == {200}


async def test_asleep_again_a_deadline_still_holds_and_nobody_is_called_for_who_has_left(front: Sleeper):
    await front.fall_asleep()
    begun, before = time.monotonic(), front.called
    late = await front.http.post("/v1/completions", json=BODY, headers={"x-sluice-deadline-ms": "700"})
    assert (late.status_code, late.json()["error"]["code"]) == (503, "deadline_expired")
    assert 0.6 < time.monotonic() - begun < 5
    assert front.called == before + 1
    await soon(lambda: front.calls == 0, 5, "the call is withdrawn")
    asking = asyncio.create_task(front.http.post("/v1/completions", json=BODY))
    await soon(lambda: front.calls == 1, 5)
    await front.wake_up()
    await answer(front)
    assert (await asking).status_code == 200


async def test_the_services_own_deadline_does_not_run_while_the_first_engine_starts(front: Sleeper, monkeypatch):
    monkeypatch.setattr(front.app.door.tickets, "_deadline_s", 0.5)
    await front.fall_asleep()
    asking = asyncio.create_task(front.http.post("/v1/completions", json=BODY))
    await soon(lambda: front.calls == 1, 5)
    await asyncio.sleep(1.0)
    await front.wake_up()
    await answer(front)
    assert (await asking).status_code == 200


async def test_those_who_wait_when_the_last_engine_leaves_have_another_called_for_them(front: Sleeper):
    await soon(front.backend.alarm._task.done, 5, "the call before is over")
    before = front.called
    front.awake.clear()
    asking = [asyncio.create_task(front.http.post("/v1/completions", json=BODY)) for _ in range(3)]
    await soon(lambda: front.backend.admission.status().waiting == 2, 5, "one runs, two wait for its slot")
    assert front.called == before
    await front.engine.outlet.leave()
    await soon(lambda: front.calls == 1, 5, "a call, though nobody new has asked")
    await answer(front)
    await front.engine.stop()
    await front.wake_up()
    for _ in range(2):
        await answer(front)
    assert {(await task).status_code for task in asking} == {200}
    await soon(lambda: front.calls == 0, 5, "no call is left")

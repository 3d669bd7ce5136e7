"""Retry-After over HTTP: clients that are refused come back when the header says, beside everybody else's requests."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from vllm.v1.engine import FinishReason

from tests.gateway.pool.full_fronts import Full, ask, one_test, opened
from tests.gateway.pool.scripted import TOKEN

SPEED = 3.0
"""How many of the queue's seconds pass in one of ours: an instant that it names is kept in a third of the time. A promise has two
seconds of grace there, so our loop may be late by more than half a second.
"""
ANSWER_S = 0.1
REQUESTS, EVERY_S = 30, 0.03


@contextlib.asynccontextmanager
async def answering(front: Full) -> AsyncIterator[None]:
    """Whoever got an engine has its answer a little later."""

    async def run() -> None:
        begun: dict[str, float] = {}
        while True:
            now = time.monotonic()
            begun = {name: begun.get(name, now) for name in front.at_engine}
            done = [name for name, at in begun.items() if now - at >= ANSWER_S]
            front.engine.core.say(*done, tokens=[TOKEN, TOKEN], finish=FinishReason.LENGTH)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(run())
    yield
    task.cancel()


@pytest.mark.asyncio
async def test_waiting_as_long_as_the_header_says_gets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came_back: list[bool] = []

    async def client(front: Full, number: int) -> None:
        """It tells how often it has asked, as OpenAI's clients do."""
        for attempt in itertools.count():
            reply = await ask(front.of("abcd"[number % 4]), headers={"x-stainless-retry-count": str(attempt)})
            if attempt:
                came_back.append(reply.status_code == 200)
            if reply.status_code == 200:
                return
            assert reply.headers["x-sluice-reason"] in ("tenant_queue", "queue_full")
            await asyncio.sleep(int(reply.headers["retry-after"]) / SPEED)

    async with opened(tmp_path) as front, one_test(front), answering(front):
        gate, begun = front.backend.admission, time.monotonic()
        monkeypatch.setattr(gate, "now", lambda: begun + SPEED * (time.monotonic() - begun))
        clients = []
        for number in range(REQUESTS):
            clients.append(asyncio.create_task(client(front, number)))
            await asyncio.sleep(EVERY_S)
        await asyncio.gather(*clients)
    assert len(came_back) >= 10
    assert sum(came_back) >= 0.9 * len(came_back), came_back

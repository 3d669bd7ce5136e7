"""More work than an engine takes at once: all of it is done, nobody's turn is somebody else's, and the queue is empty again."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Self

import httpx
import pytest

from tests.live.harness import Sluice
from tests.waiting import eventually, soon

MODEL, SEQUENCES = "sluice-demo-bf16", 8
CHAT = "/v1/chat/completions"


def queue(sluice: Sluice) -> dict[str, Any]:
    return sluice.model_status(MODEL)["admission"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def rival(sluice: Sluice) -> str:
    made = sluice.key("a rival", "--tenant", "rivals")
    headers = {"authorization": f"Bearer {made}"}
    eventually(
        lambda: httpx.get(f"{sluice.url}/v1/models", headers=headers, trust_env=False).is_success, 5, "a known key"
    )
    return made


@pytest.fixture(autouse=True)
def empty_before_and_after(sluice: Sluice) -> Iterator[None]:
    def is_empty() -> bool:
        state = queue(sluice)
        return (state["waiting"], state["running"], state["prefill_tokens"]) == (0, 0, 0)

    eventually(is_empty, 30, "an empty queue")
    yield
    eventually(is_empty, 10, "an empty queue")


class Crowd:
    """Streams of several keys over one client; `ended` are their names in the order of their ends."""

    def __init__(self, sluice: Sluice) -> None:
        limits = httpx.Limits(max_connections=None)
        self._http = httpx.AsyncClient(base_url=sluice.url, timeout=60, limits=limits, trust_env=False)
        self.tasks: list[asyncio.Task[str]] = []
        self.ended: list[str] = []

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._http.__aexit__()

    def send(self, name: str, key: str, number: int = 1, tokens: int = 48, priority: str = "standard") -> None:
        for _ in range(number):
            self.tasks.append(asyncio.create_task(self._stream(name, key, tokens, priority)))

    async def _stream(self, name: str, key: str, tokens: int, priority: str) -> str:
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Hello"}],
            "stream": True,
            "max_tokens": tokens,
            "ignore_eos": True,
        }
        headers = {"authorization": f"Bearer {key}", "x-sluice-priority": priority}
        reply = await self._http.post(CHAT, json=body, headers=headers)
        assert reply.status_code == 200, reply.text
        self.ended.append(name)
        return reply.text


async def test_a_burst_of_two_tenants_is_served_whole_and_by_turns(sluice: Sluice, key: str, rival: str) -> None:
    async with Crowd(sluice) as crowd:
        crowd.send("first", key, 5 * SEQUENCES)
        await soon(lambda: queue(sluice)["waiting"] >= 2 * SEQUENCES, 10, "a queue")
        crowd.send("second", rival, SEQUENCES)
        said = await asyncio.gather(*crowd.tasks)
    assert all(text.endswith("data: [DONE]\n\n") and '"finish_reason":"length"' in text for text in said)
    assert "second" not in crowd.ended[-SEQUENCES:], "who came later, for less, has not waited for all of the others"


async def test_a_short_interactive_request_overtakes_batch_work(sluice: Sluice, key: str, rival: str) -> None:
    async with Crowd(sluice) as crowd:
        crowd.send("batch", key, 5 * SEQUENCES, tokens=96, priority="batch")
        await soon(lambda: queue(sluice)["by_class"]["batch"]["requests"] >= 3 * SEQUENCES, 10, "batch work that waits")
        begun = time.monotonic()
        crowd.send("interactive", rival, tokens=4, priority="interactive")
        await soon(lambda: "interactive" in crowd.ended, 20, "an answer")
        assert queue(sluice)["by_class"]["batch"]["requests"] > 0, f"after {time.monotonic() - begun:.1f} s"
        await asyncio.gather(*crowd.tasks)
    assert crowd.ended.index("interactive") <= 2 * SEQUENCES

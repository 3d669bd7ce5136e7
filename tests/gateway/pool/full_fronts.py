"""A whole gateway in process whose one engine runs two sequences and says nothing until it is told to."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from vllm.v1.engine import FinishReason

from gateway.admission.fair_queue import FairQueue
from gateway.auth.store import KeyStore
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import TOKEN, name_of
from tests.waiting import soon

CHAT = "/v1/chat/completions"
TURN = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": TURN, "max_tokens": 50},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 50},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 50},
    "/v1/messages": {"messages": TURN, "max_tokens": 50},
}
SEQUENCES = 2
ADMISSION = {
    "max_requests": 6,
    "reserve": 0,
    "keep_alive_s": 0.1,
    "tiers": {"standard": {"highest": "interactive"}, "one-at-a-time": {"key_concurrency": 1}, "heavy": {"weight": 3}},
}


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
        """All sequences busy, by answers that have begun and come no further until `let_go`."""
        for number in range(SEQUENCES):
            asking = self.of(tenant).post(CHAT, json=BODIES[CHAT] | {"model": SPEC.name})
            self.held.append(asyncio.create_task(asking))
            await soon(lambda: len(self.at_engine) > number, 10, "one more at the engine")  # noqa: B023  awaited here
            self.engine.core.say(self.at_engine[-1], tokens=[TOKEN])

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
        self.engine.core.say(*before, tokens=[TOKEN])
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


def is_empty(front: Full) -> bool:
    status = front.admission
    return (status.running, status.running_sequences, status.prefill_tokens, status.waiting) == (0, 0, 0, 0)


@contextlib.asynccontextmanager
async def one_test(front: Full) -> AsyncIterator[None]:
    """Begins with a queue that has learned and promised nothing; ends with no permit and no place left behind."""
    gate = front.backend.admission
    gate.queue = FairQueue(gate.queue.policy, gate.queue.capacity)
    yield
    await asyncio.wait_for(front.let_go(), 10)
    await soon(lambda: is_empty(front), 5, "no permit and no place left behind")


def ask(client: httpx.AsyncClient, path: str = CHAT, **more: Any) -> asyncio.Task[httpx.Response]:
    headers = more.pop("headers", {})
    return asyncio.create_task(client.post(path, json=BODIES[path] | {"model": SPEC.name} | more, headers=headers))


def code_of(event: str) -> str:
    """Of an error event's data, whatever its dialect."""
    said = json.loads(event)
    error = said.get("error", said)
    return error.get("code") or error["type"]

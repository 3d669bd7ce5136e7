"""A whole gateway in process whose keys are limited, tier by tier."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from vllm.v1.engine import FinishReason

from gateway.audit.verify import verify
from gateway.auth.store import KeyStore
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.full_fronts import BODIES
from tests.gateway.pool.scripted import TOKEN
from tests.waiting import soon

ROUTES = [(path, stream) for path in BODIES for stream in (False, True)]


def day(tokens: int) -> dict[str, Any]:
    return {"tokens": [{"scope": "tenant", "limit": tokens, "per": "day"}]}


class Limited(Front):
    """Tenants are made as they are needed, each with a key of its own."""

    def __init__(self, folder: Path, **gateway: Any) -> None:
        super().__init__(folder, **gateway)
        self.clients: list[httpx.AsyncClient] = []
        self._made = 0

    def of(self, tier: str, tenant: str | None = None) -> httpx.AsyncClient:
        """A client with a new key, of a new tenant if none is named."""
        self._made += 1
        tenant = tenant or f"tenant-{self._made}"
        _, key = KeyStore(self.config.keys_file).create(name="test", tenant=tenant, tier=tier, now=0)
        self.app._store._next_check = float("-inf")
        self.clients.append(self.client(key))
        return self.clients[-1]

    def ask(
        self, client: httpx.AsyncClient, path: str, stream: bool = False, **more: Any
    ) -> asyncio.Task[httpx.Response]:
        headers = more.pop("headers", {})
        body = BODIES[path] | {"model": SPEC.name, "stream": stream} | more
        body = {name: value for name, value in body.items() if value is not None}
        return asyncio.create_task(client.post(path, json=body, headers=headers))

    async def answered(self, asking: asyncio.Task[httpx.Response], tokens: int = 2) -> httpx.Response:
        """The reply, once the engine has said so many tokens for each of its sequences; or the refusal."""
        await soon(
            lambda: asking.done() or self.engine.outlet.in_flight > 0, 10, "a request at the engine, or an answer"
        )
        while not asking.done():
            for owned in list(self.engine.outlet._owned.values()):
                self.engine.core.say(owned.request_id, tokens=[TOKEN] * tokens, finish=FinishReason.LENGTH)
            await asyncio.wait([asking], timeout=0.05)
        return await asking

    async def used(self, tenant: str) -> int:
        """Tokens of the tenant's day, everything settled."""
        await soon(lambda: not self.app._gate.limiter.open_reservations, 5, "no tokens reserved")
        await self.app._gate.limiter._settlement.flush()
        meters = self.app._gate.limiter._budgets._meters
        return int(meters[tenant, "tenant/day/"][1].used)

    def told(self, event: str) -> list[str]:
        """The routes of its records in the audit trail."""
        lines = [line for file in self.config.audit_folders[0].iterdir() for line in file.read_text().splitlines()]
        return [record["fields"]["route"] for line in lines if (record := json.loads(line))["event"] == event]

    def audited(self) -> int:
        report = verify(*self.config.audit_folders)
        assert report.whole
        return report.records

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()
        await super().close()


@contextlib.asynccontextmanager
async def limited(folder: Path, **limits: Any) -> AsyncIterator[Limited]:
    front = Limited(folder, limits=limits)
    await front.open()
    yield front
    await front.close()

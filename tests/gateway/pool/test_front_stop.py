"""How a gateway stops, as clients and load balancers see it."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.full_fronts import BODIES, CHAT


@pytest.mark.asyncio
async def test_it_is_not_ready_before_it_stops_taking_connections(tmp_path: Path) -> None:
    front = Front(tmp_path, automatic=True, ready_lead_s=0.6)
    await front.open()
    body = BODIES[CHAT] | {"model": SPEC.name}
    stopping = asyncio.create_task(front.app.close())
    await asyncio.sleep(0)
    async with front.client(front._key) as probe, front.client(front._key) as newcomer:
        assert (await probe.get("/readyz")).status_code == 503
        reply = await newcomer.post(CHAT, json=body)
        assert (reply.status_code, reply.headers["connection"]) == (200, "close")

    async def refused() -> bool:
        async with front.client(front._key) as late:
            try:
                await late.get("/readyz")
            except httpx.ConnectError:
                return True
            return False

    while not await refused():
        assert not stopping.done()
        await asyncio.sleep(0.05)
    await front.http.aclose()
    await stopping
    await front.engine.stop()

"""How a gateway stops, as clients and load balancers see it."""

import asyncio
from pathlib import Path

import pytest

from gateway.http.door import QUIET_S
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.full_fronts import BODIES, CHAT


@pytest.mark.asyncio
async def test_it_is_not_ready_before_it_stops_taking_connections(tmp_path: Path) -> None:
    """Who has connected by then, and asks a moment later, is served as well."""
    front = Front(tmp_path, automatic=True, ready_lead_s=3, drain_s=10)
    await front.open()
    port = front.app._listeners[1].port
    body = BODIES[CHAT] | {"model": SPEC.name}
    slow, writer = await asyncio.open_connection("127.0.0.1", port)
    async with front.client(front._key) as probe, front.client(front._key) as newcomer:
        assert (await probe.get("/readyz")).status_code == 200
        stopping = asyncio.create_task(front.app.close())
        while (await probe.get("/readyz")).status_code != 503:
            assert not stopping.done()
        reply = await newcomer.post(CHAT, json=body)
        assert (reply.status_code, reply.headers["connection"]) == (200, "close")

    async def refused() -> bool:
        try:
            _, late = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return True
        late.close()
        return False

    async with asyncio.timeout(20):
        while not await refused():
            await asyncio.sleep(0.05)
    await asyncio.sleep(2 * QUIET_S)
    writer.write(f"GET /v1/models HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {front._key}\r\n\r\n".encode())
    head, _, _ = (await slow.read()).lower().partition(b"\r\n\r\n")
    assert head.startswith(b"http/1.1 200")
    assert b"connection: close" in head
    writer.close()
    await front.http.aclose()
    await stopping
    await front.engine.stop()

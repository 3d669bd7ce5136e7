"""What reaches the audit trail from a gateway: what the guard and operators do, and who is turned away at the other port."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from gateway.app import GatewayApp
from gateway.audit.verify import verify
from gateway.auth.store import KeyStore
from gateway.guard.verdict import Change, Level, Verdict
from gateway.http.management import ManagementApp
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import config

MORE_THAN_A_BURST = 2100


@pytest_asyncio.fixture
async def app(tmp_path: Path) -> AsyncIterator[GatewayApp]:
    """Its trail is open, its ports are not."""
    running = GatewayApp(config(tmp_path), [SPEC], "127.0.0.1")
    await running._gate.open()
    yield running
    await running._gate.close()


def told(app: GatewayApp, event: str) -> list[dict[str, Any]]:
    folder, vault = app._config.audit_folders
    assert verify(folder, vault).whole
    lines = [line for file in sorted(folder.iterdir()) for line in file.read_text().splitlines()]
    return [record["fields"] for line in lines if (record := json.loads(line))["event"] == event]


async def test_no_change_of_a_level_is_only_counted_however_many_there_are(app: GatewayApp) -> None:
    verdict = Verdict(Level.QUARANTINE, Level.QUARANTINE, 9.0)
    for number in range(MORE_THAN_A_BURST):
        app._guard._on_change(Change(f"k{number}", "t", Level.OBSERVE, verdict, 0.0))
    await app._gate.close()
    assert len(told(app, "guard.level")) == len(told(app, "guard.quarantined")) == MORE_THAN_A_BURST
    assert not told(app, "audit.dropped")


async def test_a_release_is_durable_when_the_operator_hears_of_it(app: GatewayApp) -> None:
    change = Change("k", "t", Level.QUARANTINE, Verdict(), 0.0, released=True)
    await asyncio.to_thread(app._guard._on_change, change)
    assert [fields["previous"] for fields in told(app, "guard.released")] == ["quarantine"]


@pytest.mark.parametrize(("path", "where"), [("/status", "management"), ("/console/api/snapshot", "console")])
async def test_who_is_turned_away_at_the_operators_port_is_recorded(app: GatewayApp, path: str, where: str) -> None:
    record, weak = KeyStore(app._config.keys_file).create(name="n", tenant="acme", now=0, scopes=("models",))
    console = app._console()
    assert console is not None
    management = ManagementApp(
        app.health, dict, lambda _accept: (b"", ""), app._authenticate, "0.0.0.0", None, app._gate.on_error,
        console.app.answer,
    )  # fmt: skip
    transport = httpx.ASGITransport(management, client=("203.0.113.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
        for key, status in (("sk-sluice-aaaaaaaa-" + "x" * 43, 401), (weak, 403)):
            assert (await client.get(path, headers={"authorization": f"Bearer {key}"})).status_code == status
    await app._gate.close()
    (failed,), (refused,) = told(app, "auth.failed"), told(app, "request.refused")
    assert (failed["status"], failed["route"], failed["key"]) == (401, where, None)
    assert (refused["status"], refused["route"], refused["code"]) == (403, where, "insufficient_scope")
    assert refused["key"] not in (None, record.id)
    assert failed["address"] == refused["address"] not in (None, "203.0.113.7")

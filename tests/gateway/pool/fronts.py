"""A whole gateway in process, its engines scripted: real HTTP in front, real CURVE behind, vLLM's front end between."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from gateway.app import GatewayApp
from gateway.auth.store import KeyStore
from gateway.config import Config
from gateway.pool import wire
from tests.gateway.pool.engines import SPEC, Engine
from tests.gateway.pool.scripted import ScriptedCore
from tests.waiting import soon


def config(folder: Path) -> Config:
    checkpoint = {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}
    gateway: dict[str, Any] = {"listen": {"port": 0}, "management": {"port": 0}, "drain_s": 1, "engine_wait_s": 0.5}
    gateway["failover"] = {"park_s": 1.5}
    models = [{"name": SPEC.name, "checkpoints": checkpoint}]
    return Config.model_validate({"state_dir": str(folder), "models": models, "gateway": gateway})


class Front:
    """`members` is what Serve would tell: setting it is a change of the list of engines."""

    def __init__(self, folder: Path) -> None:
        self.config = config(folder)
        self._tell: Callable[[list[wire.EngineCard]], None] = lambda _cards: None
        _, self._key = KeyStore(self.config.keys_file).create(name="test", tenant="t", now=0)
        self.app = GatewayApp(self.config, [SPEC], "127.0.0.1")
        self._engines = 1
        self.engine = Engine("engine-1", ScriptedCore())

    async def open(self) -> None:
        async def watch(_model: str, on_change: Callable[[list[wire.EngineCard]], None]) -> None:
            self._tell = on_change
            on_change([self.engine.card()])
            await asyncio.Event().wait()

        await self.app.open(watch)
        card = self.app.card
        self.engine.outlet.allow([card.public_key])
        self.management = card.management
        headers = {"authorization": f"Bearer {self._key}"}
        url = self.app._listeners[1].url
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False)
        await soon(lambda: SPEC.name in self.app._backends and self.backend.pool.available, 60, "an open model")

    @property
    def backend(self) -> Any:
        return self.app._backends[SPEC.name]

    async def replace_engine(self, away_s: float = 0) -> None:
        await self.engine.stop()
        await asyncio.sleep(away_s)
        self._engines += 1
        self.engine = Engine(f"engine-{self._engines}", ScriptedCore())
        self.engine.outlet.allow([self.app.card.public_key])
        self._tell([self.engine.card()])
        await soon(lambda: self.backend.pool.available, 10)

    async def close(self) -> None:
        await self.http.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await self.app.close()
        await self.engine.stop()

    async def asked(self) -> str:
        """The id of the one request that the engine has."""
        await soon(lambda: self.engine.outlet.in_flight == 1, 10, "a request at the engine")
        (owned,) = self.engine.outlet._owned.values()
        return owned.request_id

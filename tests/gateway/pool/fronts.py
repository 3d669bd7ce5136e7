"""A whole gateway in process, its engines scripted: real HTTP in front, real CURVE behind, vLLM's front end between."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
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


def config(
    folder: Path,
    telemetry: Mapping[str, Any] | None = None,
    drift: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Config:
    checkpoint = {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}
    gateway: dict[str, Any] = {"listen": {"port": 0}, "management": {"port": 0}, "drain_s": 1, "engine_wait_s": 0.5}
    gateway["ready_lead_s"] = 0
    gateway["failover"] = {"park_s": 1.5}
    gateway |= changes
    models = [{"name": SPEC.name, "checkpoints": checkpoint}]
    sections = {"models": models, "limits": gateway.pop("limits", {}), "gateway": gateway}
    sections |= {"telemetry": telemetry or {}, "drift": drift or {}}
    return Config.model_validate({"state_dir": str(folder), **sections})


class Front:
    """`sequences` is what each engine says that it runs at once; `gateway` are settings of that section, and `limits`. Engines'
    clocks are ahead by `skew_s`; those that are `automatic` answer by themselves.
    """

    def __init__(
        self,
        folder: Path,
        sequences: int = 64,
        telemetry: Mapping[str, Any] | None = None,
        skew_s: float = 0,
        drift: Mapping[str, Any] | None = None,
        *,
        automatic: bool = False,
        **gateway: Any,
    ) -> None:
        self.config = config(folder, telemetry, drift, **gateway)
        self._automatic = automatic
        self._sequences = sequences
        self._skew_s = skew_s
        self._tell: Callable[[list[wire.EngineCard]], None] = lambda _cards: None
        _, self._key = KeyStore(self.config.keys_file).create(name="test", tenant="t", now=0)
        self.app = GatewayApp(self.config, [SPEC], "127.0.0.1")
        self._engines = 1
        self.engine = self._engine()

    def _engine(self) -> Engine:
        def clock() -> float:
            return time.monotonic() + self._skew_s

        return Engine(f"engine-{self._engines}", ScriptedCore(automatic=self._automatic, clock=clock), clock)

    async def open(self) -> None:
        async def watch(_model: str, on_change: Callable[[list[wire.EngineCard]], None]) -> None:
            self._tell = on_change
            on_change([self._card()])
            await asyncio.Event().wait()

        await self.app.open(watch)
        card = self.app.card
        self.engine.outlet.allow([card.public_key])
        self.management = card.management
        self.http = self.client(self._key)
        await soon(lambda: SPEC.name in self.app._backends and self.backend.pool.available, 60, "an open model")

    def _card(self) -> wire.EngineCard:
        return self.engine.card(max_num_seqs=self._sequences)

    def client(self, key: str) -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    @property
    def url(self) -> str:
        return self.app._listeners[1].url

    @property
    def backend(self) -> Any:
        return self.app._backends[SPEC.name]

    async def replace_engine(self, away_s: float = 0) -> None:
        await self.engine.stop()
        await asyncio.sleep(away_s)
        self._engines += 1
        self.engine = self._engine()
        self.engine.outlet.allow([self.app.card.public_key])
        self._tell([self._card()])
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

"""The gateway deployment: one replica hosts one gateway, at its own port and, where it is enabled, behind Ray's HAProxy."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import structlog
from ray.serve.handle import DeploymentHandle

from deployments import membership, withheld
from deployments.ray_metrics import mirror
from gateway.config import Config
from gateway.http.asgi import App
from gateway.pool.acceptance import FrontSpec
from gateway.pool.wire import EngineCard
from gateway.telemetry import logs

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class GatewayOptions:
    """What a replica is told; keys, certificates and what `secrets` holds are files that it reads itself."""

    config: Config
    specs: tuple[FrontSpec, ...]
    app: str
    engine_deployments: dict[str, str]
    """Model → deployment, in the order of the handles that the gateway gets."""
    secrets: Path | None


class Gateway:
    """A Serve deployment class, wrapped by `serve.ingress()` so that HAProxy may reach it too."""

    async def __init__(self, options: GatewayOptions, *engines: DeploymentHandle[Any]) -> None:  # type: ignore[misc]  # Serve awaits it
        from gateway.pool.platform import select_cpu_platform

        select_cpu_platform()
        logs.configure(process="gateway")
        from gateway.app import GatewayApp

        config = withheld.restored(options.config, options.secrets)
        self._gateway = GatewayApp(config, options.specs, ray.util.get_node_ip_address())
        self._mirror = mirror(self._gateway.telemetry.metrics.registry)

        async def watch(model: str, on_change: Callable[[list[EngineCard]], None]) -> None:
            deployment = options.engine_deployments[model]
            await membership.watch(deployment, options.app, EngineCard.from_metadata, on_change)

        handles = dict(zip(options.engine_deployments, engines, strict=True))

        async def wake(model: str) -> None:
            """A call that waits in its handle is what makes Serve start the first replica."""
            await handles[model].wake.remote()

        await self._gateway.open(watch, wake)

    async def __serve_build_asgi_app__(self) -> App:
        return self._gateway.behind_haproxy

    async def record_replica_metadata(self) -> dict[str, Any]:
        return self._gateway.card.as_metadata()

    async def check_health(self) -> None:
        """A front end that failed never recovers: the process leaves, and Serve starts another."""
        try:
            self._gateway.check()
        except RuntimeError:
            log.exception("gateway_failed")
            asyncio.get_running_loop().call_later(0.2, os._exit, 1)
            raise

    async def __del__(self) -> None:
        self._mirror.cancel()
        await self._gateway.close()

"""The only composition root of the gateway: the order of its parts reads top to bottom."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from gateway import __version__
from gateway.auth.keys import Principal, presented_key
from gateway.auth.salt import tenant_salt
from gateway.auth.store import KeyStore
from gateway.config import Config, Listen
from gateway.errors import Unauthenticated
from gateway.http.asgi import Headers
from gateway.http.backend import ModelBackend
from gateway.http.door import Door
from gateway.http.health import Health
from gateway.http.listener import Listener, bind_or_any
from gateway.http.management import ManagementApp
from gateway.http.surface import ROUTES, SurfacePolicy
from gateway.pool import vllm_seam, wire
from gateway.pool.acceptance import Acceptance, FrontSpec
from gateway.pool.channel import EngineChannel
from gateway.pool.curve import Peer
from gateway.pool.engine_pool import EnginePool
from gateway.pool.fingerprint import fingerprint
from gateway.routing.backlog import Backlog, least_backlog
from gateway.telemetry.metrics import Metrics

Watch = Callable[[str, Callable[[list[dict[str, Any]]], None]], Awaitable[None]]
"""(model name, on change) → never returns: calls back with the cards of the engines that serve the model."""

log = structlog.get_logger(__name__)


class ModelFront:
    """One model's pool from the moment its first engine is known, and its front end from then on."""

    def __init__(self, spec: FrontSpec, peer: Peer, wait_s: float) -> None:
        self.spec = spec
        self.accept = Acceptance(spec, fingerprint(spec.path, spec.revision), vllm_seam.VLLM_VERSION)
        self._turn = 0
        self.pool = EnginePool(peer, vllm_seam.GatewayCodec(), self._pick, self.accept, wait_s)
        self._known = asyncio.Event()

    def _pick(self, channels: Sequence[EngineChannel]) -> int:
        self._turn += 1
        backlogs = [Backlog(c.requests, c.prefill_tokens, c.load.requests, c.load.prefill_tokens) for c in channels]
        return least_backlog(backlogs, self._turn)

    def on_engines(self, replicas: list[dict[str, Any]]) -> None:
        self.pool.set_members([wire.EngineCard.from_metadata(metadata) for metadata in replicas])
        if self.accept.max_model_len is not None:
            self._known.set()

    async def open(self) -> ModelBackend:
        await self._known.wait()
        assert self.accept.max_model_len is not None
        front_end = await vllm_seam.open_front_end(self.pool, self.spec.flags(self.accept.max_model_len))
        return ModelBackend(self.spec.name, self.pool, front_end)


class GatewayApp:
    """A gateway: `open` returns once its first engines are known and its ports answer; `close` drains."""

    def __init__(self, config: Config, specs: Sequence[FrontSpec]) -> None:
        self._config = config
        self._gateway_id = uuid.uuid4().hex[:12]
        self._peer = Peer()
        self._fronts = [ModelFront(spec, self._peer, config.gateway.engine_wait_s) for spec in specs]
        self._backends: dict[str, ModelBackend] = {}
        self._watchers: list[asyncio.Future[None]] = []
        self._listeners: list[Listener] = []
        self._store = KeyStore(config.keys_file)
        self._metrics = Metrics(frozenset(ROUTES))
        self.health = Health(self._problems, self._fatal)
        self.door = Door(
            backends=self._backends,
            authenticate=self._authenticate,
            salt=tenant_salt(config.state_dir / "tenant-salt"),
            policy=_policy(config),
            health=self.health,
            max_body=config.gateway.surface.max_body,
            on_end=self._metrics.request_ended,
        )
        self._metrics.gauge("sluice_requests_in_flight", "HTTP requests not yet ended.", lambda: self.door.in_flight)

    @property
    def card(self) -> wire.GatewayCard:
        """Published through Serve: engines let in its key, `sluice status` asks its management port."""
        return wire.GatewayCard(self._gateway_id, self._peer.keys.public.decode(), self._listeners[0].url)

    async def open(self, watch: Watch) -> None:
        gateway = self._config.gateway
        for front in self._fronts:
            self._watchers.append(asyncio.ensure_future(watch(front.spec.name, front.on_engines)))
        for front in self._fronts:
            self._backends[front.spec.name] = await front.open()
        management = ManagementApp(
            self.health, self.status, self._metrics.render, self._authenticate, gateway.management.host
        )
        own = Listen(host=gateway.management.host, port=gateway.management.port)
        sock = bind_or_any(own.host, own.port)
        self._listeners = [
            Listener(management, own, gateway.keep_alive_s, drain_s=1, sock=sock),
            Listener(self.door, gateway.listen, gateway.keep_alive_s, gateway.drain_s),
        ]
        for listener in self._listeners:
            await listener.start()
        log.info("gateway_open", gateway=self._gateway_id, url=self._listeners[1].url)

    async def close(self) -> None:
        """Not ready first, then no new requests, then running ones for at most `drain_s`."""
        self.door.draining = True
        for listener in reversed(self._listeners):
            await listener.stop()
        for watcher in self._watchers:
            watcher.cancel()
        for backend in self._backends.values():
            await backend.pool.close()
            backend.front_end.close()
        self._peer.close()

    def check(self) -> None:
        """Raises if this process cannot serve any more and must be replaced."""
        if reasons := self._fatal():
            raise RuntimeError("; ".join(reasons))

    def status(self) -> dict[str, Any]:
        """What `sluice status` shows."""
        return {
            "gateway": self._gateway_id,
            "version": __version__,
            "requests_in_flight": self.door.in_flight,
            "draining": self.door.draining,
            "problems": self._fatal() + self._problems(),
            "models": [
                {
                    "name": backend.name,
                    "max_model_len": backend.max_model_len,
                    "streams": backend.pool.in_flight,
                    "engines": [_engine_status(channel) for channel in backend.pool.channels],
                    "refused": backend.pool.refused,
                }
                for backend in self._backends.values()
            ],
        }

    def _authenticate(self, headers: Headers) -> Principal:
        presented = presented_key(headers)
        if presented is None:
            raise Unauthenticated("No API key: send 'Authorization: Bearer <key>'.")
        return self._store.authenticate(presented, time.time())

    def _problems(self) -> list[str]:
        problems = ["shutting down"] if self.door.draining else []
        missing = [name for name, backend in self._backends.items() if not backend.pool.available]
        return problems + [f"no engine for model {name}" for name in missing]

    def _fatal(self) -> list[str]:
        return [f"front end of {name} failed" for name, b in self._backends.items() if b.front_end.errored]


def _policy(config: Config) -> SurfacePolicy:
    surface = config.gateway.surface
    return SurfacePolicy(unknown_fields=surface.unknown_fields, max_n=surface.max_n)


def _engine_status(channel: EngineChannel) -> dict[str, Any]:
    state = "draining" if channel.leaving or channel.delisted else "up" if channel.up else "connecting"
    return {
        "id": channel.card.engine_id,
        "state": state,
        "format": channel.card.format,
        "address": channel.card.address,
        "pid": channel.card.pid,
        "requests_from_here": channel.requests,
        "requests": channel.load.requests,
        "prefill_tokens": channel.load.prefill_tokens,
    }

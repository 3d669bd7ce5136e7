"""The only composition root of the gateway: the order of its parts reads top to bottom."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from gateway import __version__
from gateway.admission.admission import Admission
from gateway.admission.ticket import Reason
from gateway.auth.keys import Principal, presented_key
from gateway.auth.salt import tenant_salt
from gateway.auth.store import KeyStore
from gateway.config import Config
from gateway.config.listen import Listen
from gateway.console_feed import ConsoleFeed
from gateway.drift_feed import DriftFeed
from gateway.errors import Unauthenticated
from gateway.gatekeeping import Gatekeeping
from gateway.guard_front import GuardFront
from gateway.http.asgi import App, Headers, without_address
from gateway.http.door import Door
from gateway.http.guard_api import GuardApi
from gateway.http.health import Health
from gateway.http.listener import Listener, bind_or_any, bind_when_free
from gateway.http.management import ManagementApp
from gateway.http.surface import ROUTES, SurfacePolicy
from gateway.http.tickets import Tickets
from gateway.model_front import ModelFront
from gateway.neighbours import neighbours
from gateway.pool import wire
from gateway.pool.acceptance import FrontSpec
from gateway.pool.channel import EngineChannel
from gateway.pool.curve import Peer
from gateway.pool.engine_pool import EnginePool
from gateway.pool.failover import Failover
from gateway.pool.vllm_seam import VLLM_VERSION
from gateway.telemetry import scaling_metrics
from gateway.telemetry.engine_metrics import EngineReading, PoolReading
from gateway.telemetry.queue_metrics import QueueMetrics, QueueReading
from gateway.telemetry.telemetry import Telemetry

if TYPE_CHECKING:
    from gateway.http.backend import ModelBackend

Watch = Callable[[str, Callable[[list[wire.EngineCard]], None]], Awaitable[None]]
"""(model name, on change) → never returns: calls back with the cards of the engines that serve the model."""

LIST_S, OPEN_S = 2.0, 60.0
"""How long a start waits for the first list of engines, and for the models that have some to be open."""

Wake = Callable[[str], Awaitable[None]]
"""Model name → returns once an engine that serves it has been started."""

log = structlog.get_logger(__name__)


async def _never(_model: str) -> None:
    """Of gateways whose models never sleep."""
    await asyncio.Event().wait()


class GatewayApp:
    """A gateway: its ports answer once `open` returns, each model when its first engine is known; `close` drains."""

    def __init__(self, config: Config, specs: Sequence[FrontSpec], node_ip: str) -> None:
        self._config = config
        self._node_ip = node_ip
        self._gateway_id = uuid.uuid4().hex[:12]
        self._peer = Peer()
        self._backends: dict[str, ModelBackend] = {}
        self._tasks: list[asyncio.Future[None]] = []
        self._listeners: list[Listener] = []
        self._store = KeyStore(config.keys_file)
        names = tuple(spec.name for spec in specs)
        self.telemetry = Telemetry(config, self._gateway_id, names, frozenset(ROUTES))
        self._metrics = self.telemetry.metrics
        self._gate = Gatekeeping(config, self._gateway_id, self._metrics.registry)
        self._fronts = [ModelFront(spec, self._peer, config.gateway, self._gate.on_poisoned) for spec in specs]
        self._drift: DriftFeed | None = None
        self._queues = QueueMetrics(self._metrics.registry, self._read_queues)
        self.telemetry.read_engines(lambda: {front.spec.name: _pool_reading(front.pool) for front in self._fronts})
        for front in self._fronts:
            front.pool.on_step = self.telemetry.steps.of(front.spec.name)
        scaling_metrics.ScalingMetrics(self._metrics.registry, config.autoscaling_folder, frozenset(names))
        salt = tenant_salt(config.state_dir / "tenant-salt")
        self._guard = GuardFront(config, salt, self._metrics.registry, self._gate.submit)
        self.health = Health(self._problems, self._fatal, self._warnings)
        self.door = Door(
            backends=self._backends,
            authenticate=self._authenticate,
            salt=salt,
            policy=_policy(config),
            meters=self._gate.meters,
            guarding=self._guard.guarding,
            tickets=Tickets(config.gateway.admission),
            health=self.health,
            max_body=config.gateway.surface.max_body,
            recorder=self.telemetry.recorder,
            on_error=self._gate.on_error,
            on_cut=self._gate.on_cut,
            on_start=self._queues.started,
            known=names,
            engine_in_s=self._engine_in_s,
            debug_headers=config.gateway.debug_headers,
        )
        self._metrics.gauge("sluice_requests_in_flight", "HTTP requests not yet ended.", lambda: self.door.in_flight)
        self._metrics.build_info(version=__version__, vllm=VLLM_VERSION, gateway=self._gateway_id)

    @property
    def card(self) -> wire.GatewayCard:
        """Published through Serve: engines let in its key, `sluice status` asks its management port."""
        management = self._listeners[0].url_at(self._node_ip)
        return wire.GatewayCard(self._gateway_id, self._peer.keys.public.decode(), management)

    @property
    def behind_haproxy(self) -> App:
        """The door as Serve's HAProxy reaches it."""
        return without_address(self.door)

    async def open(self, watch: Watch, wake: Wake = _never) -> None:
        gateway = self._config.gateway
        await self._gate.open()
        if self._config.drift.enabled:
            self._drift = await asyncio.to_thread(DriftFeed, self._config, self._metrics)
        await self._guard.open()
        self._tasks.append(asyncio.ensure_future(self._guard.run()))
        console = self._console()
        management = ManagementApp(
            self.health,
            self.status,
            self._metrics.render,
            self._authenticate,
            gateway.management.host,
            GuardApi(self._guard),
            self._gate.on_error,
            None if console is None else console.app.answer,
            lambda: self.card.management,
            lambda: neighbours(self._config.state_dir),
        )
        own = Listen(host=gateway.management.host, port=gateway.management.port)
        sock = bind_or_any(own.host, own.port)
        self._listeners = [
            Listener(management, own, gateway.keep_alive_s, sock=sock),
            Listener(self.door, gateway.listen, gateway.keep_alive_s),
        ]
        await self._listeners[0].start()
        if own.port not in (0, self._listeners[0].port):
            self._tasks.append(asyncio.ensure_future(self._inherit(management, own)))
        for front in self._fronts:
            front.report_as(self._gateway_id)
        self._tasks += [asyncio.ensure_future(watch(front.spec.name, front.on_engines)) for front in self._fronts]
        await self._open_fronts(wake)
        await self._listeners[1].start()
        log.info("gateway_open", gateway=self._gateway_id, url=self._listeners[1].url)

    def _console(self) -> ConsoleFeed | None:
        if not self._config.gateway.management.console:
            return None
        feed = ConsoleFeed(
            self._config,
            self.door,
            self.telemetry,
            self._fronts,
            self._authenticate,
            self.status,
            lambda: self._drift,
            self._gate.limiter.budgets,
        )
        self._tasks.append(asyncio.ensure_future(feed.run()))
        return feed

    async def _inherit(self, management: ManagementApp, own: Listen) -> None:
        """Where probes and scrapers look, there is always one of the gateways of this node: the next, when that one leaves."""
        sock = await bind_when_free(own.host, own.port)
        heir = Listener(management, own, self._config.gateway.keep_alive_s, sock=sock)
        await heir.start()
        self._listeners.append(heir)

    async def _open_fronts(self, wake: Wake) -> None:
        """Models whose engines run already, or may be away, are open when this returns: a gateway that takes over from another one
        refuses nobody, and one that cannot open them never takes over. Raises what opening them raised.
        """
        opening = [asyncio.ensure_future(self._open_front(front, wake)) for front in self._fronts]
        self._tasks += opening
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LIST_S):
                await asyncio.gather(*(front.listed.wait() for front in self._fronts))
        pairs = zip(opening, self._fronts, strict=True)
        served = [task for task, front in pairs if front.pool.roster.channels or front.spec.sleeps]
        if served:
            done, _ = await asyncio.wait(served, timeout=OPEN_S, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()

    async def _open_front(self, front: ModelFront, wake: Wake) -> None:
        name = front.spec.name
        backend = self._backends[name] = await front.open(lambda: wake(name))
        if self._drift is not None:
            self._drift.connect(front, backend.decode)
        self._guard.know(backend.shape)
        log.info("model_open", model=front.spec.name, max_model_len=front.accept.max_model_len)

    async def close(self) -> None:
        """Not ready first, so that load balancers send nobody new; then no new connections (another gateway may share the port),
        then no new requests. `drain_s` at most for all of it.
        """
        gateway, clock = self._config.gateway, time.monotonic
        ends = clock() + gateway.drain_s
        self.door.draining = True
        if self._listeners:
            await asyncio.sleep(gateway.ready_lead_s)
            await self._listeners[1].stop_accepting(ends - clock())
        await self.door.drain(ends - clock())
        for listener in reversed(self._listeners):
            await listener.stop()
        for task in self._tasks:
            task.cancel()
        for front in self._fronts:
            await front.pool.close()
        for backend in self._backends.values():
            if backend.alarm is not None:
                backend.alarm.close()
            backend.front_end.close()
        self._peer.close()
        await self._guard.close()
        await asyncio.to_thread(self.telemetry.close)
        if self._drift is not None:
            await asyncio.to_thread(self._drift.watch.close)
        await self._gate.close()

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
            "warnings": self._warnings(),
            "limits": self._gate.status(),
            "guard": self._guard.status(),
            "autoscaling": scaling_metrics.read(self._config.autoscaling_folder),
            "models": [
                {
                    "name": front.spec.name,
                    "max_model_len": front.accept.max_model_len,
                    "streams": front.pool.in_flight,
                    "admission": _admission_status(front.admission),
                    "engines": [_engine_status(channel) for channel in front.pool.roster.channels],
                    "refused": front.pool.roster.refused,
                    "waking": front.alarm is not None and front.alarm.ringing,
                    "failover": _failover_status(front.pool.failover),
                }
                for front in self._fronts
            ],
            "drift": {} if self._drift is None else self._drift.status(),
        }

    def _authenticate(self, headers: Headers) -> Principal:
        presented = presented_key(headers)
        if presented is None:
            raise Unauthenticated("No API key: send 'Authorization: Bearer <key>'.")
        return self._store.authenticate(presented, time.time())

    def _engine_in_s(self, model: str) -> int:
        return next(front.absence for front in self._fronts if front.spec.name == model).left_s(time.monotonic())

    def _read_queues(self) -> dict[str, QueueReading]:
        return {front.spec.name: _queue_reading(front.admission) for front in self._fronts}

    def _warnings(self) -> list[str]:
        return [*self._gate.warnings(), *self._guard.warnings, *self._store.warnings(time.time())]

    def _problems(self) -> list[str]:
        problems = ["shutting down"] if self.door.draining else []
        for front in self._fronts:
            name = front.spec.name
            if not front.pool.available and not front.spec.sleeps:
                problems.append(f"no engine for model {name}")
            elif name not in self._backends:
                problems.append(f"model {name} is being opened")
        return problems

    def _fatal(self) -> list[str]:
        failed = [name for name, backend in self._backends.items() if backend.front_end.errored]
        ended = [task for task in self._tasks if task.done() and not task.cancelled() and task.exception() is not None]
        return [f"front end of {name} failed" for name in failed] + [f"a task failed: {t.exception()!r}" for t in ended]


def _policy(config: Config) -> SurfacePolicy:
    surface = config.gateway.surface
    return SurfacePolicy(unknown_fields=surface.unknown_fields, max_n=surface.max_n, max_items=surface.max_items)


def _admission_status(admission: Admission) -> dict[str, Any]:
    status = admission.status()
    return {
        "waiting": status.waiting,
        "waiting_tokens": status.waiting_tokens,
        "oldest_s": round(status.oldest_s, 3),
        "by_class": {
            name: {"requests": each.requests, "tokens": each.tokens, "oldest_s": round(each.oldest_s, 3)}
            for name, each in status.by_class.items()
        },
        "running": status.running,
        "running_sequences": status.running_sequences,
        "sequences_limit": status.sequences_limit,
        "prefill_tokens": status.prefill_tokens,
        "prefill_limit": status.prefill_limit,
        "drain_tokens_per_s": round(status.drain_rate, 1),
        "promised": status.promised,
        "held": status.held,
        "refused": _refused(admission),
    }


def _failover_status(failover: Failover) -> dict[str, Any]:
    """Requests that went on with another engine, those asked of a second one as well, and those that ended, by error."""
    return {"moved": failover.moved, "hedged": failover.hedged, "ended": dict(failover.ended)}


def _queue_reading(admission: Admission) -> QueueReading:
    status = admission.status()
    waiting = {name: (each.requests, each.tokens) for name, each in status.by_class.items()}
    return QueueReading(waiting, status.oldest_s, _refused(admission))


def _refused(admission: Admission) -> dict[str, int]:
    return {reason.value: admission.refused[reason] for reason in Reason}


def _pool_reading(pool: EnginePool) -> PoolReading:
    failover = pool.failover
    return PoolReading(
        [_engine_reading(channel) for channel in pool.roster.channels],
        failover.lost,
        failover.hedged,
        {"moved": failover.moved} | failover.ended,
    )


def _engine_reading(channel: EngineChannel) -> EngineReading:
    load = channel.load
    return EngineReading(
        channel.card.engine_id,
        _state(channel),
        load.requests - load.waiting,
        load.waiting,
        load.prefill_tokens,
        load.kv_use,
        load.prefix_queries,
        load.prefix_hits,
    )


def _state(channel: EngineChannel) -> str:
    return "draining" if channel.leaving or channel.delisted else "up" if channel.up else "connecting"


def _engine_status(channel: EngineChannel) -> dict[str, Any]:
    return {
        "id": channel.card.engine_id,
        "state": _state(channel),
        "format": channel.card.format,
        "address": channel.card.address,
        "pid": channel.card.pid,
        "requests_from_here": channel.requests,
        "requests": channel.load.requests,
        "prefill_tokens": channel.load.prefill_tokens,
        "kv_use": round(channel.load.kv_use, 3),
        "faults": channel.breaker.faults if channel.breaker.half_open else 0,
    }

"""The gateway's door: who asks, what for, and to which backend it goes. Reads top to bottom as a request lives."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from gateway.admission.admission import Admission
from gateway.admission.ticket import Ticket
from gateway.errors import Internal, ModelNotFound, NoEngine, PermissionDenied, ShuttingDown, SluiceError
from gateway.guard.leaks import Shape
from gateway.http.asgi import Headers, Message, Receive, Scope, Send, header
from gateway.http.body import ClientGone, read_json
from gateway.http.disconnect import while_connected
from gateway.http.guarding import Guarding, Watch
from gateway.http.health import Health
from gateway.http.metering import Meter, Meters
from gateway.http.models import model_list, one_model
from gateway.http.reply import Reply
from gateway.http.sse_writer import SseWriter
from gateway.http.surface import Admitted, Route, SurfacePolicy, match
from gateway.http.tickets import Tickets, named_limit
from gateway.http.turnstile import Turnstile
from gateway.pool.context import Beat, RequestContext, current
from gateway.telemetry.record import RequestRecord
from gateway.telemetry.recorder import Recorder

CUT_GRACE_S = 2.0
LINGER_S, QUIET_S = 5.0, 0.2
"""A stopping gateway still answers on connections that clients hold, once each: they may have asked already."""
SESSION, ROUTE, MOST_SESSION = b"x-session-id", b"x-sluice-route", 256
"""Requests of one session prefer one engine; why an engine was chosen is told if `gateway.debug_headers` says so."""
PROBES = ("/livez", "/readyz")

log = structlog.get_logger(__name__)


class Caller(Protocol):
    """The principal, as far as the door looks at it."""

    @property
    def key_id(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def tier(self) -> str: ...
    @property
    def scopes(self) -> frozenset[str]: ...


class Backend(Protocol):
    """One served model: it answers a request whose body has been admitted."""

    @property
    def name(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def max_model_len(self) -> int: ...
    @property
    def admission(self) -> Admission: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def binds_tools(self) -> bool: ...
    async def ready(self, beat: Beat | None) -> bool: ...
    def decode(self, tokens: Sequence[int]) -> str: ...
    async def answer(self, route: Route, body: dict[str, Any], writer: SseWriter, context: RequestContext) -> None: ...


@dataclass
class Door:
    """The ASGI application that clients reach, at the gateway's own port and behind HAProxy alike."""

    backends: Mapping[str, Backend]
    authenticate: Callable[[Headers], Caller]
    salt: Callable[[str], str]
    policy: SurfacePolicy
    meters: Meters
    tickets: Tickets
    guarding: Guarding
    health: Health
    max_body: int
    body_timeout_s: float = 60.0
    recorder: Recorder = field(default_factory=Recorder)
    on_error: Callable[[SluiceError, str, Meter], None] = lambda _error, _path, _meter: None
    on_cut: Callable[[str, str, Meter], None] = lambda _reason, _path, _meter: None
    on_start: Callable[[str, str, float], None] = lambda _model, _priority, _queued_s: None
    known: Sequence[str] = ()
    engine_in_s: Callable[[str], int] = lambda _model: 5
    debug_headers: bool = False
    in_flight: int = field(default=0, init=False)
    draining: bool = field(default=False, init=False)
    _turnstile: Turnstile = field(default_factory=Turnstile, init=False)
    _running: set["asyncio.Task[Any]"] = field(default_factory=set, init=False)
    _refusing: bool = field(default=False, init=False)
    _cutting: bool = field(default=False, init=False)

    async def drain(self, limit_s: float) -> None:
        """Few new requests, then none, and those that wait are refused; running ones end by themselves within the limit, or
        are told that they were cut off.
        """
        self.draining = True
        clock = asyncio.get_running_loop().time
        begun = clock()
        await self._linger(min(LINGER_S, limit_s))
        self._refusing = True
        self._turnstile.close()
        running = set(self._running)
        if running:
            _, late = await asyncio.wait(running, timeout=max(0.0, limit_s - (clock() - begun)))
            self._cutting = True
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CUT_GRACE_S)

    async def _linger(self, limit_s: float) -> None:
        """Until nothing has been running for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(QUIET_S)
                while self._running:
                    await asyncio.wait(set(self._running))
                    await asyncio.sleep(QUIET_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http" and scope["path"] in PROBES:
            await Reply(send, uuid.uuid4().hex).json(*self.health.answer(scope["path"], public=True))
        elif scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        record = self.recorder.begin(scope["method"], scope["headers"])
        record.scheme = scope.get("scheme", "http")
        reply, watch, meter = Reply(send, record.request_id), self.guarding.watch(), self.meters.meter(scope)
        reply.late = lambda: meter.headers
        me = asyncio.current_task()
        assert me is not None
        self._running.add(me)
        self.in_flight += 1
        try:
            with meter:
                try:
                    await self._serve(scope, receive, reply, record, watch, meter)
                finally:
                    record.mark("finish")
        except ClientGone:
            reply.status = reply.status or 499
        except SluiceError as err:
            await reply.error(err)
        except asyncio.CancelledError:
            if not self._cutting:
                raise
            me.uncancel()
            await reply.error(ShuttingDown("This gateway shut down before the request had ended."))
        except Exception:
            log.exception("request_failed", request_id=reply.request_id, path=scope["path"])
            await reply.error(Internal("unexpected"))
        finally:
            self._running.discard(me)
            self.in_flight -= 1
            try:
                watch.end(reply.status or 499)
            except Exception:
                log.exception("guard_failed", request_id=reply.request_id, path=scope["path"])
            record.guard, record.guard_refused, record.waited = watch.told, watch.refused, reply.waited
            if reply.failure is not None:
                self.on_error(reply.failure, scope["path"], meter)
            elif meter.reason is not None:
                self.on_cut(meter.reason, scope["path"], meter)
            self.recorder.end(record, reply.status, reply.failure, complete=reply.ended)

    async def _serve(
        self, scope: Scope, receive: Receive, reply: Reply, record: RequestRecord, watch: Watch, meter: Meter
    ) -> None:
        headers: Headers = scope["headers"]
        record.mark("auth")
        try:
            route = match(scope["method"], scope["path"])
        except SluiceError:
            await meter.arrive()  # who asks for what is not there is counted as well
            raise
        record.path = route.path
        reply.dialect, reply.events = route.dialect, route.events
        await meter.arrive()
        caller = self.authenticate(headers)
        record.key, record.tenant, record.tier = caller.key_id, caller.tenant, caller.tier
        record.mark("limits")
        await meter.enter(caller)
        if route.scope not in caller.scopes:
            raise PermissionDenied(f"This key lacks the scope '{route.scope}'.")
        if self._refusing:
            raise ShuttingDown("This gateway is shutting down.", headers=[("connection", "close")])
        if self.draining:
            reply.extra.append((b"connection", b"close"))
        if route.method == "GET":
            record.mark("finish")
            await self._list(route, reply)
            return
        record.mark("receive")
        watch.enter(caller)
        body = await read_json(headers, receive, self.max_body, self.body_timeout_s)
        opened = self.guarding.open_surface
        admitted, backend = self._admit(route, body, record, watch)
        record.mark("guard")
        admitted = await watch.check(
            route, admitted, backend.shape, backend.max_model_len, bound=backend.binds_tools, decode=backend.decode
        )
        record.mark("limits")
        if admitted.dropped:
            reply.extra.append((b"x-sluice-dropped-fields", _names(admitted.dropped)))
        record.body, record.decode = admitted.body, backend.decode
        context = RequestContext(
            cache_salt=None if opened else self.salt(caller.tenant),
            own_seed=caller.tenant in self.guarding.trusted,
            session=_session(headers),
            trace=self.recorder.told_on(record),
        )
        record.legs = context.legs
        current.set(context)
        if self.debug_headers:
            reply.late = lambda: meter.headers + ([(ROUTE, context.route.encode())] if context.route else [])
        gate = backend.admission
        ticket = self.tickets.issue(caller, headers, admitted, backend.max_model_len, gate.now(), gate.widest)
        record.priority = ticket.priority
        bounded = named_limit(admitted.body) is not None
        if await meter.check(backend.name, ticket.max_completion_tokens * admitted.sequences if bounded else None):
            context.meter = meter
        work = self._answer(backend, ticket, route, admitted, SseWriter(reply), context, record, watch)
        if not await while_connected(work, receive, lambda: reply.ended):
            raise ClientGone

    async def _list(self, route: Route, reply: Reply) -> None:
        listed = {name: self.backends[name] for name in self.known if name in self.backends}
        await reply.json(200, model_list(listed) if route.item is None else one_model(listed, route.item))

    def _admit(
        self, route: Route, body: dict[str, Any], record: RequestRecord, watch: Watch
    ) -> tuple[Admitted, Backend]:
        """The model is written down before anything can fail: an error of ours counts for the one that was asked for."""
        record.mark("validate")
        if (asked := body.get("model", "")) in self.known:
            record.model = asked
        admitted = watch.admit(route, body, self.policy)
        record.body = admitted.body
        return admitted, self._backend(admitted.body.get("model"))

    def _backend(self, name: object) -> Backend:
        if isinstance(name, str) and name in self.known and name not in self.backends:
            raise NoEngine(f"'{name}' is starting: no engine has been there yet.", retry_after=self.engine_in_s(name))
        if not isinstance(name, str) or name not in self.backends:
            raise ModelNotFound(
                f"The model {name!r:.80} does not exist; GET /v1/models lists those served.", param="model"
            )
        return self.backends[name]

    async def _answer(
        self,
        backend: Backend,
        ticket: Ticket,
        route: Route,
        admitted: Admitted,
        writer: SseWriter,
        context: RequestContext,
        record: RequestRecord,
        watch: Watch,
    ) -> None:
        record.mark("admission")
        if stream := admitted.body.get("stream") is True:
            context.beat = Beat(writer.beat, backend.admission.beat_s)
        try:
            if not await _ready(backend, ticket, context.beat):
                again_s = self.engine_in_s(backend.name)
                raise NoEngine(f"No engine is serving '{backend.name}' at the moment.", retry_after=again_s)
            with await self._turnstile.permit(backend.admission, ticket, writer, stream=stream) as permit:
                self.on_start(backend.name, ticket.priority, permit.queued_s)
                record.mark("render")
                context.work = watch.counting(permit)
                await backend.answer(route, admitted.body, writer, context)
        finally:
            writer.abandon()


async def _ready(backend: Backend, ticket: Ticket, beat: Beat | None) -> bool:
    """False: there is no engine. True as well once the ticket's deadline has passed: the queue refuses it then."""
    left_s = None if ticket.deadline is None else ticket.deadline - backend.admission.now()
    try:
        async with asyncio.timeout(left_s):
            return await backend.ready(beat)
    except TimeoutError:
        return True


def _session(headers: Headers) -> str | None:
    value = header(headers, SESSION)
    return None if value is None else value[:MOST_SESSION].decode("latin-1")


def _names(dropped: tuple[str, ...]) -> bytes:
    return re.sub(rb"[^\x21-\x7e]", b"?", ",".join(dropped).encode("ascii", "replace"))[:1024]


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

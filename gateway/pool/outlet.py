"""The engine replica's side: serves one engine core's tokens to any number of gateways, one message per step and gateway."""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import structlog
import zmq
import zmq.asyncio

from gateway.pool import wire
from gateway.pool.channel import HEARTBEAT_MS
from gateway.pool.core_stats import CoreStats
from gateway.pool.curve import AllowList, Peer, secure_server
from gateway.pool.meter import Meter, Step
from gateway.pool.pulse import Pulse, silent_steps
from gateway.pool.throughput import Speed

log = structlog.get_logger(__name__)

ABORT = "abort"
"""What a core that was told to end says of all that it has. What a gateway has aborted is nobody's here by then."""

FAREWELL_S = 0.1
"""Within this time, what is sent last has left this process."""


class CoreEndsError(Exception):
    """The core was told to end, by SIGTERM. Gateways know that this engine leaves, and take the requests that it has elsewhere."""


class Core(Protocol):
    """An engine core and its messages; see vllm_seam.EngineCore. `outputs` raises when the core is dead; `ping` returns when it
    lives; `kv_tokens` is how many tokens its KV cache holds (0: unknown), `step_tokens` how many prompt tokens a step takes.
    """

    @property
    def kv_tokens(self) -> int: ...
    @property
    def step_tokens(self) -> int: ...
    async def ping(self) -> None: ...
    async def add(self, request: Any) -> None: ...
    async def abort(self, request_ids: list[str]) -> None: ...
    async def outputs(self) -> Any: ...
    def decode_request(self, frames: Sequence[Any]) -> Any: ...
    def encode_outputs(self, batch: Any, outputs: list[Any]) -> Sequence[Any]: ...


@dataclass(slots=True)
class Owned:
    """One request in the core: whose it is, what its gateway calls it, its tokens so far, and whether its prefill is done.
    `constrained`: by a grammar, which is compiled first.
    """

    gateway: bytes
    request_id: str
    tokens: int
    started: bool = False
    constrained: bool = False


class EngineOutlet:
    """`run` returns never; it raises what killed the core. A gateway that vanishes or falls silent frees its requests."""

    def __init__(self, core: Core, slots: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        """`slots`: sequences of a full engine."""
        self._core = core
        self._clock = clock
        self._stats = CoreStats()
        self._meter = Meter(slots)
        self._queues: dict[bytes, wire.Queue] = {}
        self._peer = Peer()
        self._allow = AllowList(self._peer.context)
        self._socket = self._peer.context.socket(zmq.ROUTER)
        self._owned: dict[str, Owned] = {}
        # The core dies of an id that it still knows, and keeps aborts of an id for later: none is ever used twice.
        self._named: dict[tuple[bytes, str], str] = {}
        self._numbers = itertools.count()
        self._seen: dict[bytes, float] = {}
        self._leaving = False
        self._pulse = Pulse(core)
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def server_key(self) -> str:
        return self._peer.keys.public.decode()

    @property
    def in_flight(self) -> int:
        return len(self._owned)

    @property
    def load(self) -> wire.Load:
        owned = self._owned.values()
        waiting = sum(one.tokens for one in owned if not one.started)
        filled = sum(one.tokens for one in owned) / self._core.kv_tokens if self._core.kv_tokens else 0.0
        unstarted = sum(not one.started for one in owned)
        stats = self._stats
        return wire.Load(
            len(owned),
            waiting,
            stats.kv_use(min(1.0, filled), len(owned)),
            self.quiet_s,
            stats.waiting(unstarted),
            stats.prefix_queries,
            stats.prefix_hits,
            self._clock(),
        )

    @property
    def speed(self) -> Speed:
        return self._meter.speed(asyncio.get_running_loop().time())

    @property
    def queues(self) -> list[wire.Queue]:
        """Of the gateways that report to this engine."""
        return list(self._queues.values())

    @property
    def quiet_s(self) -> float:
        """Seconds since the core's last sign of life or of progress, 0 if it gives them."""
        return self._pulse.quiet_s(asyncio.get_running_loop().time())

    @property
    def silent_steps(self) -> int:
        """How many steps the core may take before it must give something. vLLM compiles grammars beside its steps, for as long as
        it takes, and these are empty while nobody else has work.
        """
        owned = self._owned.values()
        if all(one.constrained and not one.started for one in owned):
            return sys.maxsize
        return silent_steps((one.tokens for one in owned), self._core.step_tokens)

    def bind(self, host: str) -> str:
        """Listen on a free port. The list is empty at first: nobody gets in before `allow`."""
        self._allow.start()
        secure_server(self._socket, self._peer.keys)
        self._socket.linger = 0
        self._socket.sndhwm = self._socket.rcvhwm = 0
        self._socket.heartbeat_ivl, self._socket.heartbeat_timeout = HEARTBEAT_MS
        self._socket.router_mandatory = 1
        port = self._socket.bind_to_random_port(f"tcp://{host}")
        return f"tcp://{host}:{port}"

    def allow(self, public_keys: Iterable[str]) -> None:
        self._allow.replace(frozenset(key.encode() for key in public_keys))

    async def run(self) -> None:
        tasks = [asyncio.create_task(work) for work in (self._pump(), self._receive(), self._watch_gateways())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._pulse.stop()
            for task in tasks:
                task.cancel()

    async def leave(self) -> None:
        """Ask all gateways for no new work; what still arrives is served."""
        self._leaving = True
        for gateway in list(self._seen):
            await self._send(gateway, [wire.LEAVING])

    async def drained(self) -> None:
        """Returns when no request is left in the core."""
        await self._idle.wait()

    def close(self) -> None:
        self._allow.stop()
        self._socket.close()
        self._peer.close()

    async def _pump(self) -> None:
        while True:
            batch = await self._core.outputs()
            self._stats.take(batch.scheduler_stats)
            now = asyncio.get_running_loop().time()
            self._pulse.gave(now) if batch.outputs else self._pulse.spoke()
            self._measure(batch.outputs, now)
            by_gateway: dict[bytes, list[Any]] = {}
            ending = False
            for output in batch.outputs:
                owned = self._owned.get(output.request_id)
                if owned is None:
                    continue
                if output.finish_reason is not None:
                    if str(output.finish_reason) == ABORT:
                        ending = True
                        continue
                    self._release(output.request_id)
                owned.started = True
                owned.tokens += len(output.new_token_ids)
                by_gateway.setdefault(owned.gateway, []).append(output)
                output.request_id, output.trace_headers = owned.request_id, None
            for gateway, outputs in by_gateway.items():
                await self._send(gateway, [wire.OUTPUTS, *self._core.encode_outputs(batch, outputs)])
            if ending:
                await self.leave()
                await asyncio.sleep(FAREWELL_S)
                raise CoreEndsError("the engine core was told to end")

    def _measure(self, outputs: list[Any], now: float) -> None:
        step = Step()
        for output in outputs:
            owned = self._owned.get(output.request_id)
            if owned is None:
                continue
            if owned.started:
                step.decoding += 1
            else:
                cached = output.prefill_stats.num_cached_tokens if output.prefill_stats is not None else 0
                step.cached += cached
                step.prompts += owned.tokens - cached
            step.completed += len(output.new_token_ids)
        self._meter.step(step, now)

    async def _receive(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            gateway, kind, *frames = await self._socket.recv_multipart()
            if kind == wire.HELLO:
                await self._welcome(gateway, frames)
            if gateway not in self._seen:
                await self._send(gateway, [wire.FORGOTTEN])
                continue
            self._seen[gateway] = clock()
            try:
                await self._handle(gateway, kind, frames)
            except (ValueError, IndexError) as exc:
                await self._drop(gateway, f"malformed message: {exc}")

    async def _handle(self, gateway: bytes, kind: bytes, frames: list[bytes]) -> None:
        if kind == wire.ADD:
            await self._add(gateway, frames)
        elif kind == wire.ABORT:
            await self._abort(self._core_ids(gateway, [frame.decode() for frame in frames]))
        elif kind == wire.PING:
            self._queues.pop(gateway, None)
            if frames:
                self._queues[gateway] = msgspec.msgpack.decode(frames[0], type=wire.Queue)
            await self._send(gateway, [wire.PONG, msgspec.msgpack.encode(self.load)])

    async def _welcome(self, gateway: bytes, frames: list[bytes]) -> None:
        if frames != [str(wire.PROTOCOL).encode()]:
            log.warning("gateway_speaks_another_protocol", gateway=gateway.hex())
            return
        self._seen[gateway] = asyncio.get_running_loop().time()
        await self._send(gateway, [wire.WELCOME, msgspec.msgpack.encode(self.load)])
        if self._leaving:
            await self._send(gateway, [wire.LEAVING])

    async def _add(self, gateway: bytes, frames: list[bytes]) -> None:
        request_id = frames[0].decode()
        try:
            request = self._core.decode_request(frames[1:])
        except ValueError as exc:
            await self._send(gateway, [wire.REFUSED, frames[0], str(exc).encode()])
            return
        self._idle.clear()
        self._meter.busy(asyncio.get_running_loop().time())
        core_id = request.request_id = f"{request_id}~{next(self._numbers)}"
        self._named[gateway, request_id] = core_id
        params = request.sampling_params
        constrained = params is not None and params.structured_outputs is not None
        self._owned[core_id] = Owned(gateway, request_id, len(request.prompt_token_ids or ()), constrained=constrained)
        await self._core.add(request)

    def _core_ids(self, gateway: bytes, request_ids: list[str]) -> list[str]:
        """Those of a gateway's own requests that the core still has, by the core's ids."""
        names = (self._named.get((gateway, request_id)) for request_id in request_ids)
        return [name for name in names if name is not None]

    async def _abort(self, core_ids: list[str]) -> None:
        for core_id in core_ids:
            self._release(core_id)
        if core_ids:
            await self._core.abort(core_ids)

    def _release(self, core_id: str) -> None:
        owned = self._owned.pop(core_id)
        self._named.pop((owned.gateway, owned.request_id), None)
        if not self._owned:
            self._meter.idle()
            self._idle.set()

    async def _send(self, gateway: bytes, frames: list[Any]) -> None:
        try:
            await self._socket.send_multipart([gateway, *frames], copy=False)
        except zmq.ZMQError as exc:
            if exc.errno != zmq.EHOSTUNREACH:
                raise
            await self._drop(gateway, "connection closed")

    async def _watch_gateways(self) -> None:
        """A pause of this very process must not look like the silence of all gateways: such a tick is skipped."""
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(wire.HEARTBEAT_S)
            now = clock()
            if paused := now - before > 2 * wire.HEARTBEAT_S:
                self._seen = dict.fromkeys(self._seen, now)
            self._pulse.feel(now, head=next(iter(self._owned), None), steps=self.silent_steps, paused=paused)
            for gateway, seen in list(self._seen.items()):
                if now - seen > wire.SILENCE_S:
                    await self._drop(gateway, "silent")

    async def _drop(self, gateway: bytes, reason: str) -> None:
        self._queues.pop(gateway, None)
        if self._seen.pop(gateway, None) is None:
            return
        orphans = [request_id for request_id, owned in self._owned.items() if owned.gateway == gateway]
        log.warning("gateway_gone", gateway=gateway.hex(), reason=reason, orphans=len(orphans))
        await self._abort(orphans)

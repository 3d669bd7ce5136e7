"""A gateway's connection to one engine replica: handshake, heartbeat, loss noticed at once, reconnection until closed."""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog
import zmq
import zmq.asyncio
from zmq.utils.monitor import recv_monitor_message

from gateway.pool import wire
from gateway.pool.breaker import Breaker
from gateway.pool.clock import Clock
from gateway.pool.curve import Peer, secure_client
from gateway.pool.pace import Pace

HANDSHAKE_S = 5.0
HEARTBEAT_MS = (int(wire.HEARTBEAT_S * 1000), int(wire.SILENCE_S * 1000))
SILENT_PINGS = 2
"""An engine that left so many unanswered when its connection broke had fallen silent before: it need not be dead."""
BACKOFF_S = (0.05, 0.1, 0.2, 0.5, 1.0)
LOSS_EVENTS = (
    zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)

log = structlog.get_logger(__name__)


class ChannelLostError(Exception):
    """The session with the engine is over; its text says why. `died`: so is the engine, as far as can be seen from here; `quiet_s`:
    and since so long. `own`: it was this gateway that fell silent, and the engine is as well as ever.
    """

    def __init__(self, reason: str, *, died: bool = False, quiet_s: float = 0.0, own: bool = False) -> None:
        super().__init__(reason)
        self.died = died
        self.quiet_s = quiet_s
        self.own = own


class Loss(NamedTuple):
    reason: str
    died: bool
    quiet_s: float = 0.0
    own: bool = False


class ChannelSink(Protocol):
    """Who is told what happens on a channel. None of these may raise or block."""

    def on_up(self, channel: "EngineChannel") -> None: ...
    def on_lost(self, channel: "EngineChannel", loss: Loss) -> None: ...
    def on_load(self, channel: "EngineChannel") -> None: ...
    def on_weighed(self, channel: "EngineChannel") -> None: ...
    def queue_for(self, channel: "EngineChannel") -> wire.Queue | None:
        """What this engine is told about the gateway's queue with the next heartbeat."""

    def on_outputs(self, channel: "EngineChannel", frames: Sequence[Any]) -> None: ...
    def on_refused(self, channel: "EngineChannel", request_id: str, reason: str) -> None: ...


class EngineChannel:
    """One connection. `leaving` is the engine's own announcement, `delisted` Serve's: either ends new work, no stream.
    `prompt_tokens` are those of prompts not prefilled yet, whole as the engine counts them; `prefill_tokens` those of them that are
    not expected in its cache.
    """

    def __init__(self, peer: Peer, card: wire.EngineCard, sink: ChannelSink, stall_s: float) -> None:
        self.card = card
        self.breaker = Breaker()
        self.pace = Pace()
        self.clock = Clock()
        self.up = False
        self.leaving = False
        self.delisted = False
        self.load = self.own_at_report = wire.IDLE
        self.reported_at = 0.0
        self.requests = 0
        self.prompt_tokens = 0
        self.prefill_tokens = 0
        self._peer = peer
        self._sink = sink
        self._stall_s = stall_s
        self._socket: zmq.asyncio.Socket | None = None
        self._unanswered = 0
        self._asked: deque[float] = deque()
        self._pinged_at = 0.0
        self._stood_still_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """May be given new work."""
        return self.up and not self.leaving and not self.delisted

    @property
    def others(self) -> wire.Load:
        """What other gateways have on it: its last report less what this one had on it then."""
        load, own = self.load, self.own_at_report
        return wire.Load(max(0, load.requests - own.requests), max(0, load.prefill_tokens - own.prefill_tokens))

    def weigh(self, requests: int, prompt_tokens: int, prefill_tokens: int) -> None:
        """What this gateway has on it is so much more, or less."""
        self.requests += requests
        self.prompt_tokens += prompt_tokens
        self.prefill_tokens += prefill_tokens
        self._sink.on_weighed(self)

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_connected(), name=f"engine-channel-{self.card.engine_id}")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def send(self, kind: bytes, frames: Sequence[Any]) -> None:
        """Raises ChannelLostError when there is no session."""
        if self._socket is None or not self.up:
            raise ChannelLostError("not connected")
        try:
            await self._socket.send_multipart([kind, *frames], copy=False)
        except zmq.ZMQError as exc:
            raise ChannelLostError(str(exc)) from exc

    async def tell(self, kind: bytes, frames: Sequence[Any]) -> None:
        """To an engine that is gone there is nothing to say."""
        with contextlib.suppress(ChannelLostError):
            await self.send(kind, frames)

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            loss = Loss("ended", died=False)
            try:
                await self._session()
            except ChannelLostError as exc:
                loss = Loss(str(exc), exc.died, exc.quiet_s, exc.own)
            except Exception as exc:  # noqa: BLE001  whatever an engine makes us trip over ends its session, and nothing else
                loss = Loss(f"{type(exc).__name__}: {exc}", died=False)
            finally:
                was_up, self.up, self._socket = self.up, False, None
            if was_up:
                self._sink.on_lost(self, loss)
            attempt = 0 if was_up else attempt + 1
            log.info("engine_channel_down", engine=self.card.engine_id, reason=loss.reason, was_up=was_up)
            await asyncio.sleep(BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)])

    async def _session(self) -> None:
        with self._peer.context.socket(zmq.DEALER) as socket:
            socket.linger = 0
            socket.sndhwm = socket.rcvhwm = 0
            socket.heartbeat_ivl, socket.heartbeat_timeout = HEARTBEAT_MS
            secure_client(socket, self._peer.keys, self.card.server_key.encode())
            monitor = socket.get_monitor_socket(LOSS_EVENTS)
            try:
                socket.connect(self.card.address)
                watch = asyncio.create_task(self._watch(monitor))
                await self._until_first([self._talk(socket), watch])
            finally:
                socket.disable_monitor()

    async def _until_first(self, parts: list[Any]) -> None:
        """Run all; when one ends, cancel the others and raise what it raised."""
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, monitor: zmq.asyncio.Socket) -> None:
        event = await recv_monitor_message(monitor)
        if event["event"] == zmq.EVENT_DISCONNECTED:
            self._note_pause()
            own = time.monotonic() - self._stood_still_at < wire.SILENCE_S
            died = self._unanswered < SILENT_PINGS and not own
            raise ChannelLostError("engine closed the connection", died=died, own=own)
        raise ChannelLostError("engine refused the handshake (wrong key, or this gateway is not on its list yet)")

    def _note_pause(self) -> None:
        """An engine closes the connection of a gateway that was silent for SILENCE_S, and is as well as ever."""
        if (now := time.monotonic()) - self._pinged_at > wire.SILENCE_S - wire.HEARTBEAT_S:
            self._stood_still_at = now

    async def _talk(self, socket: zmq.asyncio.Socket) -> None:
        self._pinged_at = time.monotonic()
        self._asked = deque([self._pinged_at])
        await socket.send_multipart([wire.HELLO, str(wire.PROTOCOL).encode()])
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                welcome = await socket.recv_multipart()
        except TimeoutError as exc:
            raise ChannelLostError("engine did not answer the handshake") from exc
        if welcome[0] != wire.WELCOME:
            raise ChannelLostError("engine answered with another protocol")
        self._note(welcome[1])
        self._socket, self.up, self.leaving, self._unanswered = socket, True, False, 0
        log.info("engine_channel_up", engine=self.card.engine_id, model=self.card.model)
        self._sink.on_up(self)
        await self._until_first([self._receive(socket), self._heartbeat(socket)])

    async def _receive(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            kind, *frames = await socket.recv_multipart(copy=False)
            self._unanswered = 0
            match kind.bytes:
                case wire.OUTPUTS:
                    self._sink.on_outputs(self, frames)
                case wire.PONG:
                    self._note(frames[0].buffer)
                    self._sink.on_load(self)
                case wire.REFUSED:
                    self._sink.on_refused(self, frames[0].bytes.decode(), frames[1].bytes.decode())
                case wire.LEAVING:
                    self.leaving = True
                    self._sink.on_load(self)
                case wire.FORGOTTEN:
                    raise ChannelLostError("engine has given this gateway up", own=True)
                case other:
                    raise ChannelLostError(f"engine sent an unknown message {other!r}")

    def _note(self, load: bytes | memoryview) -> None:
        self.load = msgspec.msgpack.decode(load, type=wire.Load)
        self.own_at_report = wire.Load(self.requests, self.prompt_tokens)
        self.reported_at = time.monotonic()
        if self._asked and self.load.clock:
            self.clock.observe(self._asked.popleft(), self.load.clock, self.reported_at)
        if self.load.quiet_s >= self._stall_s:
            quiet_s = self.load.quiet_s
            raise ChannelLostError(f"engine core made no step for {quiet_s:.0f} s", died=True, quiet_s=quiet_s)

    async def _heartbeat(self, socket: zmq.asyncio.Socket) -> None:
        """Counts unanswered pings rather than seconds, so that a pause of this process is not taken for the engine's."""
        while True:
            queue = self._sink.queue_for(self)
            told = [] if queue is None else [msgspec.msgpack.encode(queue)]
            self._pinged_at = time.monotonic()
            self._asked.append(self._pinged_at)
            await socket.send_multipart([wire.PING, *told])
            await asyncio.sleep(wire.HEARTBEAT_S)
            self._note_pause()
            self._unanswered += 1
            if self._unanswered * wire.HEARTBEAT_S >= wire.SILENCE_S:
                raise ChannelLostError(f"engine silent for {wire.SILENCE_S:.0f} s")

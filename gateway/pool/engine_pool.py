"""The pool of one model's engine replicas as one gateway sees it: who is there, who serves which request."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from gateway.pool import wire
from gateway.pool.channel import ChannelLostError, EngineChannel
from gateway.pool.context import RequestContext
from gateway.pool.curve import Peer

log = structlog.get_logger(__name__)


class Codec(Protocol):
    """vLLM's messages, as far as the pool must know them; see vllm_seam.py."""

    def encode_request(self, request: Any) -> Sequence[Any]: ...
    def decode_outputs(self, frames: Sequence[Any]) -> Any: ...
    def failed(self, request_ids: Iterable[str]) -> Any: ...


@dataclass(slots=True)
class Flight:
    """A request on its way. `channel` is None while no engine is there; `request` is kept until its first output."""

    request: Any
    prompt_tokens: int
    context: RequestContext | None = None
    channel: EngineChannel | None = None
    started: bool = False


Picker = Callable[[Sequence[EngineChannel]], int]
Accept = Callable[[wire.EngineCard], str | None]


class EnginePool:
    """Data path for vLLM's AsyncLLM. `outputs` never raises: what breaks costs one engine connection."""

    def __init__(
        self,
        peer: Peer,
        codec: Codec,
        pick: Picker,
        accept: Accept,
        wait_s: float,
    ) -> None:
        self._peer = peer
        self._codec = codec
        self._pick = pick
        self._accept = accept
        self._wait_s = wait_s
        self._channels: dict[str, EngineChannel] = {}
        self._flights: dict[str, Flight] = {}
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._arrival = asyncio.Event()
        self._chores: set[asyncio.Task[None]] = set()
        self.refused: dict[str, str] = {}

    @property
    def channels(self) -> list[EngineChannel]:
        return list(self._channels.values())

    @property
    def available(self) -> bool:
        return any(channel.open for channel in self._channels.values())

    @property
    def caught_up(self) -> bool:
        """No engine message is waiting to be taken by `outputs`."""
        return self._outbox.empty()

    @property
    def in_flight(self) -> int:
        return len(self._flights)

    async def wait_available(self) -> bool:
        """Wait for an engine that takes work, for at most `wait_s`. False: there is none."""
        if not self.available:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s):
                    await self._arrival.wait()
        return self.available

    def set_members(self, cards: Iterable[wire.EngineCard]) -> None:
        """Serve's list of engines. A new one is connected; one that is gone gets no new work and ends its streams."""
        listed = {card.engine_id: card for card in cards}
        for channel in self.channels:
            channel.delisted = channel.card.engine_id not in listed
            self._retire(channel)
        for engine_id, card in listed.items():
            if engine_id in self._channels:
                continue
            if (reason := self._accept(card)) is not None:
                if self.refused.get(engine_id) != reason:
                    log.warning("engine_refused", engine=engine_id, reason=reason)
                self.refused[engine_id] = reason
                continue
            channel = self._channels[engine_id] = EngineChannel(self._peer, card, self)
            channel.start()
        self.refused = {engine_id: reason for engine_id, reason in self.refused.items() if engine_id in listed}

    async def add(
        self, request_id: str, request: Any, prompt_tokens: int, context: RequestContext | None = None
    ) -> None:
        self._flights[request_id] = Flight(request, prompt_tokens, context)
        try:
            await self._dispatch(request_id)
        except BaseException:
            self._chore(self.abort([request_id]))
            raise

    async def abort(self, request_ids: Iterable[str]) -> None:
        by_channel: dict[EngineChannel, list[bytes]] = {}
        for request_id in request_ids:
            flight = self._forget(request_id)
            if flight is not None and flight.channel is not None:
                by_channel.setdefault(flight.channel, []).append(request_id.encode())
        for channel, ids in by_channel.items():
            try:
                await channel.send(wire.ABORT, ids)
            except ChannelLostError:
                continue

    async def outputs(self) -> Any:
        return await self._outbox.get()

    async def close(self) -> None:
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def _dispatch(self, request_id: str) -> None:
        """Send a flight to the picked engine; park it while there is none, for at most `wait_s`."""
        flight = self._flights.get(request_id)
        if flight is None or flight.channel is not None:
            return
        frames = [request_id.encode(), *self._codec.encode_request(flight.request)]
        failed: set[EngineChannel] = set()
        while candidates := [c for c in self._channels.values() if c.open and c not in failed]:
            channel = candidates[self._pick(candidates)]
            flight.channel = channel
            channel.requests += 1
            channel.prefill_tokens += flight.prompt_tokens
            try:
                await channel.send(wire.ADD, frames)
            except ChannelLostError:
                failed.add(channel)
                if flight.channel is channel:
                    self._unload(flight)
                    continue
            return
        flight.channel = None
        self._chore(self._expire(request_id, flight))

    async def _expire(self, request_id: str, flight: Flight) -> None:
        await asyncio.sleep(self._wait_s)
        if self._flights.get(request_id) is flight and flight.channel is None:
            self._fail([request_id])

    def on_up(self, _channel: EngineChannel) -> None:
        self._arrival.set()
        self._arrival.clear()
        for request_id, flight in self._flights.items():
            if flight.channel is None:
                self._chore(self._dispatch(request_id))

    def on_lost(self, channel: EngineChannel, reason: str) -> None:
        """A request without output yet goes elsewhere at once; one in mid-stream ends with an error."""
        mine = [(rid, flight) for rid, flight in self._flights.items() if flight.channel is channel]
        broken = [rid for rid, flight in mine if flight.started]
        log.warning(
            "engine_lost",
            engine=channel.card.engine_id,
            reason=reason,
            moved=len(mine) - len(broken),
            broken=len(broken),
        )
        channel.requests = channel.prefill_tokens = 0
        for request_id, flight in mine:
            flight.channel = None
            if not flight.started:
                self._chore(self._dispatch(request_id))
        self._fail(broken)
        self._retire(channel)

    def on_outputs(self, channel: EngineChannel, frames: Sequence[Any]) -> None:
        """Raises msgspec's errors on a malformed message, which end this channel's session and nothing else."""
        batch = self._codec.decode_outputs(frames)
        mine = []
        for output in batch.outputs:
            flight = self._flights.get(output.request_id)
            if flight is None or flight.channel is not channel:
                continue
            mine.append(output)
            if not flight.started:
                flight.started, flight.request = True, None
                channel.prefill_tokens -= flight.prompt_tokens
            if output.finish_reason is not None:
                self._forget(output.request_id)
        if len(mine) != len(batch.outputs):
            batch.outputs = mine
        if mine or batch.scheduler_stats is not None:
            self._outbox.put_nowait(batch)

    def on_refused(self, channel: EngineChannel, request_id: str, reason: str) -> None:
        log.warning("request_refused_by_engine", engine=channel.card.engine_id, reason=reason)
        if request_id in self._flights:
            self._fail([request_id])

    def _fail(self, request_ids: list[str]) -> None:
        for request_id in request_ids:
            flight = self._forget(request_id)
            if flight is not None and flight.context is not None:
                flight.context.engine_lost = True
        if request_ids:
            self._outbox.put_nowait(self._codec.failed(request_ids))

    def _forget(self, request_id: str) -> Flight | None:
        flight = self._flights.pop(request_id, None)
        if flight is not None:
            channel = flight.channel
            self._unload(flight)
            flight.channel = channel
            if channel is not None:
                self._retire(channel)
        return flight

    def _unload(self, flight: Flight) -> None:
        if flight.channel is not None:
            flight.channel.requests -= 1
            if not flight.started:
                flight.channel.prefill_tokens -= flight.prompt_tokens
            flight.channel = None

    def _retire(self, channel: EngineChannel) -> None:
        """Close a channel that Serve no longer lists, once nothing is on it."""
        if channel.delisted and channel.requests == 0 and self._channels.get(channel.card.engine_id) is channel:
            del self._channels[channel.card.engine_id]
            self._chore(channel.close())

    def _chore(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

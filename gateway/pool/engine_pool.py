"""The pool of one model's engine replicas as one gateway sees it: who is there, who serves which request, and who takes over."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from gateway.errors import NoEngine, SluiceError
from gateway.pool import wire
from gateway.pool.channel import ChannelLostError, EngineChannel, Loss
from gateway.pool.context import RequestContext
from gateway.pool.curve import Peer
from gateway.pool.failover import Failover, FailoverPolicy, lost, note_death
from gateway.pool.flight import DivergedError, Flight
from gateway.pool.pace import is_outlier
from gateway.pool.partners import Accept, Chooser, Codec, told
from gateway.pool.roster import Roster

log = structlog.get_logger(__name__)


class EnginePool:
    """Data path for vLLM's AsyncLLM. `outputs` never raises: what breaks costs one engine connection."""

    def __init__(
        self,
        peer: Peer,
        codec: Codec,
        chooser: Chooser,
        accept: Accept,
        wait_s: float,
        policy: FailoverPolicy = FailoverPolicy(),  # noqa: B008  immutable
        on_capacity: Callable[[], None] = lambda: None,
    ) -> None:
        self._codec = codec
        self._chooser = chooser
        self._wait_s = wait_s
        self._policy = policy
        self._on_capacity = on_capacity
        self._flights: dict[str, Flight] = {}
        self._names: dict[str, str] = {}
        self._outbox: asyncio.Queue[Any] = asyncio.Queue()
        self._arrival = asyncio.Event()
        self._chores: set[asyncio.Task[None]] = set()
        self.failover = Failover(policy)
        self.roster = Roster(
            lambda card: EngineChannel(peer, card, self, policy.stall_s), accept, chooser, self._on_capacity
        )
        self.queue: Callable[[], wire.Queue] | None = None
        self.on_parked: Callable[[], None] = lambda: None
        self.on_end: Callable[[Flight, SluiceError], None] = lambda _flight, _error: None
        self.on_step: Callable[[float, int], None] = lambda _seconds, _streams: None
        self.on_finish: Callable[[Flight, str], None] = lambda _flight, _reason: None

    @property
    def available(self) -> bool:
        return bool(self.roster.usable)

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

    async def add(
        self, request_id: str, request: Any, prompt_tokens: int, context: RequestContext | None = None
    ) -> None:
        flight = self._flights[request_id] = Flight(request_id, request, prompt_tokens, context)
        flight.asked = time.monotonic()
        if flight.work is not None:
            flight.work.counted(prompt_tokens)
        if self._policy.hedge_after_s is not None:
            asyncio.get_running_loop().call_later(self._policy.hedge_after_s, self._hedge, flight)
        try:
            await self._dispatch(flight)
        except BaseException:
            self._chore(self.abort([request_id]))
            raise

    async def abort(self, request_ids: Iterable[str], *, ended: bool = False) -> None:
        """`ended`: the layers above have found the end of the answer, a stop string, in what they have."""
        by_channel: dict[EngineChannel, list[bytes]] = {}
        for request_id in request_ids:
            flight = self._flights.get(self._names.get(request_id, request_id))
            if flight is not None:
                self._withdraw(flight.rival)
                if ended:
                    self._succeed(flight, "stop", time.monotonic())
                channel = self._forget(flight)
                if channel is not None:
                    by_channel.setdefault(channel, []).append(flight.wire_id.encode())
        for channel, ids in by_channel.items():
            await channel.tell(wire.ABORT, ids)

    async def refuse(self, request_id: str, context: RequestContext, error: SluiceError) -> None:
        """Instead of `add`; what else the context has running ends with it."""
        context.failure = error
        await self.abort(others := [one.request_id for one in self._flights.values() if one.context is context])
        self._outbox.put_nowait(self._codec.failed([request_id, *others]))

    async def outputs(self) -> Any:
        return await self._outbox.get()

    async def close(self) -> None:
        for chore in self._chores:
            chore.cancel()
        await self.roster.close()

    async def _dispatch(self, flight: Flight) -> None:
        """Send a flight to the picked engine; park it while there is none."""
        if flight.channel is not None or self._flights.get(flight.wire_id) is not flight:
            return
        rival = flight.rival.channel if flight.rival is not None else None
        failed: set[EngineChannel] = set() if rival is None else {rival}
        while candidates := self.roster.candidates(failed):
            flight.found = time.monotonic()
            channel = candidates[self._chooser.pick(candidates, flight)]
            frames = self._board(flight, channel)
            try:
                await channel.send(wire.ADD, frames)
            except ChannelLostError:
                failed.add(channel)
                flight.end_leg("unsent", time.monotonic())
                if flight.channel is channel:
                    flight.unload()
                    continue
            flight.note_start()
            return
        if flight.rival is not None:
            self._withdraw(flight)
        else:
            self._chore(self._expire(flight, flight.attempt))
            self.on_parked()

    def _board(self, flight: Flight, channel: EngineChannel) -> list[Any]:
        """Begin the next attempt, on this engine; returns its frames."""
        del self._flights[flight.wire_id]
        flight.attempt += 1
        self._flights[flight.wire_id] = flight
        if flight.attempt > 1:
            self._names[flight.request_id] = flight.wire_id
        request, flight.known = flight.request, 0
        if flight.tokens:
            request, flight.known = self._codec.resumed(flight.request, flight.tokens)
        flight.gained = 0
        flight.load(channel)
        flight.probe = channel.breaker.probing = channel.breaker.half_open
        frames = [flight.wire_id.encode(), *self._codec.encode_request(request)]
        flight.begin_leg(channel.card.engine_id)
        return frames

    def _hedge(self, flight: Flight) -> None:
        """The first token is late: ask a second engine too, if the budget for that allows it."""
        if flight.channel is None or flight.started or self._flights.get(flight.wire_id) is not flight:
            return
        others = self.roster.candidates({flight.channel})
        if others and flight.attempt == 1 and self.failover.hedges.spend(time.monotonic()):
            self.failover.hedged += 1
            hedge = flight.hedge()
            self._flights[hedge.wire_id] = hedge
            self._chore(self._dispatch(hedge))

    def _withdraw(self, flight: Flight | None) -> None:
        """One of two rivals leaves; the other is the request from now on."""
        if flight is None or flight.rival is None:
            return
        winner, channel, wire_id = flight.rival, flight.channel, flight.wire_id
        flight.rival = winner.rival = None
        flight.end_leg("withdrawn", time.monotonic())
        self._flights.pop(wire_id, None)
        flight.unload()
        self._names[winner.request_id] = winner.wire_id
        if channel is not None:
            self._chore(channel.tell(wire.ABORT, [wire_id.encode()]))

    async def _expire(self, flight: Flight, attempt: int) -> None:
        seconds = self._policy.park_s if attempt else self._wait_s
        if await flight.parked(attempt, seconds, lambda: self._flights.get(flight.wire_id) is flight):
            self._end(flight, lost() if attempt else NoEngine("No engine has come that could take this request."))

    def _reported(self, channel: EngineChannel, now: float) -> None:
        if channel in self.roster:
            self._chooser.reported(channel, self.roster.channels, now)

    def on_up(self, channel: EngineChannel) -> None:
        self._reported(channel, time.monotonic())
        self._arrival.set()
        self._arrival.clear()
        self._on_capacity()
        for flight in self._flights.values():
            if flight.channel is None:
                self._chore(self._dispatch(flight))

    def on_weighed(self, channel: EngineChannel) -> None:
        self._chooser.weighed(channel)

    def on_lost(self, channel: EngineChannel, loss: Loss) -> None:
        """All that was on this engine goes on elsewhere, as if nothing had happened."""
        now, planned = time.monotonic(), channel.leaving or channel.delisted or loss.own
        if not planned:
            channel.breaker.fault(now)
            self.failover.lost += 1
        mine = [flight for flight in self._flights.values() if flight.channel is channel]
        log.warning(
            "engine_lost", engine=channel.card.engine_id, reason=loss.reason, requests=len(mine), planned=planned
        )
        channel.weigh(-channel.requests, -channel.prompt_tokens, -channel.prefill_tokens)
        channel.breaker.probing = False
        if loss.died and not channel.leaving:
            note_death(mine, since=now - loss.quiet_s)
        for flight in mine:
            flight.channel, flight.asked = None, now
            flight.end_leg("lost", now, channel.pace.last)
            if flight.rival is not None:
                flight.pass_blame(flight.rival)
                self._withdraw(flight)
                continue
            if flight.tokens and (last := self._codec.full(flight.request, flight.tokens)) is not None:
                self._outbox.put_nowait(last)
                self._finish(flight, "length", now)
                continue
            error = self.failover.end(flight, now, planned=planned)
            if error is None:
                self._chore(self._dispatch(flight))
            else:
                self._end(flight, error)
        self.roster.retire(channel)
        self._on_capacity()

    def queue_for(self, channel: EngineChannel) -> wire.Queue | None:
        return self.queue() if self.queue is not None and channel is told(self.roster.usable) else None

    def on_load(self, channel: EngineChannel) -> None:
        """About once a second. An engine many times slower than its peers is given no work for a while."""
        self._on_capacity()
        self.roster.retire(channel)
        now = time.monotonic()
        self._reported(channel, now)
        peers = [other.pace.step_s(now) for other in self.roster.channels if other is not channel]
        pace = channel.pace.step_s(now)
        if is_outlier(pace, peers, self._policy.slow_factor) and channel.breaker.allows(now):
            log.warning("engine_slow", engine=channel.card.engine_id, step_s=pace)
            channel.breaker.fault(now)
            # Without work it takes no steps: what it was ejected for would count against it again, before its probe is sent.
            channel.pace.forget()

    def on_outputs(self, channel: EngineChannel, frames: Sequence[Any]) -> None:
        """Raises msgspec's errors on a malformed message, which end this channel's session and nothing else."""
        batch = self._codec.decode_outputs(frames)
        now = time.monotonic()
        shift = channel.clock.offset
        batch.timestamp = now if shift is None else batch.timestamp + shift
        mine: list[Any] = []
        going_on = 0
        for output in batch.outputs:
            flight = self._flights.get(output.request_id)
            if flight is None or flight.channel is not channel:
                continue
            if output.events is not None:
                flight.note_events(output, shift)
            if flight.started:
                going_on += 1
            else:
                self._on_first(flight, output, batch.timestamp, now)
            if not self._journal(flight, output, mine, now):
                continue
            if output.finish_reason is not None:
                self._finish(flight, str(output.finish_reason), now, batch.timestamp)
        took = channel.pace.step(now, busy=channel.requests > 0)
        if going_on and took is not None:
            self.on_step(took, going_on)
        if len(mine) != len(batch.outputs):
            batch.outputs = mine
        if mine or batch.scheduler_stats is not None:
            self._outbox.put_nowait(batch)

    def _on_first(self, flight: Flight, output: Any, at: float, now: float) -> None:
        """An engine's first output for a flight, made at `at` and here at `now`."""
        channel = flight.channel
        assert channel is not None
        flight.start()
        if flight.probe:
            channel.breaker.success()
        flight.note_prefill()
        self._withdraw(flight.rival)
        cached = 0
        if output.prefill_stats is not None:
            cached = output.prefill_stats.num_cached_tokens
            self._chooser.began(flight, cached)
            # The Responses route would tell it, and with it what a tenant's other users have asked.
            output.prefill_stats = None
        if flight.leg is not None:
            flight.leg.began(at, now, cached)

    def _journal(self, flight: Flight, output: Any, mine: list[Any], now: float) -> bool:
        """Adds to `mine` what the layers above have not had yet. False: the flight has ended over it."""
        try:
            if flight.take(output):
                mine.append(output)
                if flight.pay(output, self._codec.cut) and flight.channel is not None:
                    self._chore(flight.channel.tell(wire.ABORT, [flight.wire_id.encode()]))
            else:
                flight.beat(now)
        except DivergedError as exc:
            log.warning(
                "replay_diverged", engine=flight.leg and flight.leg.engine, request=flight.request_id, where=str(exc)
            )
            if flight.channel is not None:
                self._chore(flight.channel.tell(wire.ABORT, [flight.wire_id.encode()]))
            self._end(flight, lost())
            return False
        return True

    def on_refused(self, channel: EngineChannel, request_id: str, reason: str) -> None:
        log.warning("request_refused_by_engine", engine=channel.card.engine_id, reason=reason)
        if (flight := self._flights.get(request_id)) is not None:
            self._end(flight, lost())

    def _succeed(self, flight: Flight, reason: str, now: float, last: float | None = None) -> None:
        flight.end_leg(reason, now, last)
        self.failover.succeeded()
        self._chooser.ended(flight)

    def _finish(self, flight: Flight, reason: str, now: float, last: float | None = None) -> None:
        self._succeed(flight, reason, now, last)
        self.on_finish(flight, reason)
        self._forget(flight)

    def _end(self, flight: Flight, error: SluiceError) -> None:
        kind = type(error).__name__
        self.failover.ended[kind] = self.failover.ended.get(kind, 0) + 1
        flight.end_leg("error", time.monotonic())
        self.on_end(flight, error)
        self._withdraw(flight.rival)
        self._forget(flight)
        if flight.context is not None:
            flight.context.failure = error
        self._outbox.put_nowait(self._codec.failed([flight.request_id]))

    def _forget(self, flight: Flight) -> EngineChannel | None:
        """Returns the engine that it was on."""
        if self._flights.pop(flight.wire_id, None) is not None:
            flight.end_leg("abort", time.monotonic())
            flight.note_end()
        self._names.pop(flight.request_id, None)
        channel = flight.channel
        flight.unload()
        if channel is not None:
            self.roster.retire(channel)
        return channel

    def _chore(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

"""Which engines there are: those that Serve lists, those that may be given work, and those that are let go."""

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from gateway.pool import wire
from gateway.pool.channel import EngineChannel
from gateway.pool.partners import Accept, Chooser

log = structlog.get_logger(__name__)


class Roster:
    """`connect` makes the channel to an engine, not started yet. `refused` are listed engines that `accept` has said no to, and
    why. `on_capacity` is called when the list has changed.
    """

    def __init__(
        self,
        connect: Callable[[wire.EngineCard], EngineChannel],
        accept: Accept,
        chooser: Chooser,
        on_capacity: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._accept = accept
        self._chooser = chooser
        self._on_capacity = on_capacity
        self._channels: dict[str, EngineChannel] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self.refused: dict[str, str] = {}

    def __contains__(self, channel: EngineChannel) -> bool:
        return self._channels.get(channel.card.engine_id) is channel

    @property
    def channels(self) -> list[EngineChannel]:
        return list(self._channels.values())

    @property
    def usable(self) -> list[EngineChannel]:
        """Engines that may be given work. Those that Serve lists go first; but a controller that has just come back lists nobody,
        and engines say themselves when they leave.
        """
        known = self._channels.values()
        usable = [channel for channel in known if channel.up and not (channel.leaving or channel.delisted)]
        return usable or [channel for channel in known if channel.up and not channel.leaving]

    def candidates(self, without: set[EngineChannel]) -> list[EngineChannel]:
        """Engines that may be given work: those in good standing, or else any that is there."""
        known = self._channels.values()
        sound = [each for each in known if each.up and not (each.leaving or each.delisted or each.breaker.half_open)]
        if len(sound) == len(known) and not without:
            return sound
        there = [channel for channel in self.usable if channel not in without]
        now = time.monotonic()
        return [channel for channel in there if channel.breaker.allows(now)] or there

    def join(self, channel: EngineChannel) -> None:
        self._channels[channel.card.engine_id] = channel
        self._chooser.joined(channel)

    def set_members(self, cards: Iterable[wire.EngineCard]) -> None:
        """Serve's list of engines. A new one is connected; one that is gone gets no new work and ends its streams."""
        listed = {card.engine_id: card for card in cards}
        for channel in self.channels:
            channel.delisted = channel.card.engine_id not in listed
        for channel in self.channels:
            self.retire(channel)
        for engine_id, card in listed.items():
            if engine_id in self._channels:
                continue
            if (reason := self._accept(card)) is not None:
                if self.refused.get(engine_id) != reason:
                    log.warning("engine_refused", engine=engine_id, reason=reason)
                self.refused[engine_id] = reason
                continue
            channel = self._connect(card)
            self.join(channel)
            channel.start()
        self.refused = {engine_id: reason for engine_id, reason in self.refused.items() if engine_id in listed}
        self._on_capacity()

    def retire(self, channel: EngineChannel) -> None:
        """Close a channel that Serve no longer lists, once nothing is on it and nobody can need it."""
        needless = channel.leaving or not channel.up or any(other.open for other in self._channels.values())
        idle = channel.delisted and channel.requests == 0
        if idle and needless and channel in self:
            del self._channels[channel.card.engine_id]
            self._chooser.left(channel)
            task = asyncio.ensure_future(channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._closing, *(channel.close() for channel in self._channels.values()))

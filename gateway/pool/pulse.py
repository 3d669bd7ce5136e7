"""Whether an engine core is alive: it speaks, or it answers when asked."""

import asyncio
from typing import Protocol

from gateway.pool import wire


class Asked(Protocol):
    async def ping(self) -> None: ...


class Pulse:
    """A core that has work and says nothing for a heartbeat is asked, once; it is quiet from then until it answers or speaks.
    Times are the event loop's.
    """

    def __init__(self, core: Asked) -> None:
        self._core = core
        self._last = 0.0
        self._asked_at: float | None = None
        self._question: asyncio.Task[None] | None = None

    def beat(self, now: float) -> None:
        self._last, self._asked_at = now, None

    def quiet_s(self, now: float) -> float:
        return 0.0 if self._asked_at is None else now - self._asked_at

    def feel(self, now: float, *, working: bool, paused: bool) -> None:
        """Once per heartbeat. `paused`: this process stood still itself, so that nothing is known about the core."""
        if self._question is not None and self._question.done():
            if not self._question.cancelled() and self._question.exception() is None:
                self.beat(now)
            self._question = None
        if paused and self._asked_at is not None:
            self._asked_at = now
        if working and self._question is None and now - self._last > wire.HEARTBEAT_S:
            self._asked_at = now if self._asked_at is None else self._asked_at
            self._question = asyncio.ensure_future(self._core.ping())

    def stop(self) -> None:
        if self._question is not None:
            self._question.cancel()

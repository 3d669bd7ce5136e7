"""Who asks a store that may not answer: nobody, after the first failure, but for a probe in the background.

So a stalled store costs those requests one timeout that were asking it when it stalled, and no request after them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from gateway.limits.store import StoreUnavailable

_log: Final = logging.getLogger(__name__)


class Circuit:
    """`probe` raises StoreUnavailable until the store can be used again; it is tried every `retry_s` seconds."""

    def __init__(self, probe: Callable[[], Awaitable[None]], retry_s: float) -> None:
        self._probe, self._retry_s = probe, retry_s
        self._tripped = asyncio.Event()
        self.problem: str | None = None

    @property
    def closed(self) -> bool:
        """Whether the store is to be asked."""
        return self.problem is None

    def trip(self, cause: StoreUnavailable) -> None:
        if self.problem is None:
            _log.warning("limits: the shared store is not asked any more until it answers: %s", cause)
            self.problem = f"the limits' shared store: {cause}"
            self._tripped.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            await self._tripped.wait()
            await asyncio.sleep(self._retry_s)
            try:
                await self._probe()
            except StoreUnavailable as exc:
                self.problem = f"the limits' shared store: {exc}"
                continue
            self._tripped.clear()
            self.problem = None
            _log.warning("limits: the shared store is back")

"""How long an answer is waited for, by a clock that stands still while this process is late.

An event loop that was busy for a second, or had no core, finds the answer and the end of a timeout at once, and hears of
the timeout first. So a timeout here is LOOKS waits one after the other, with the sockets looked at between them, and a wait
that itself ends late counts for nothing: it was this process that lagged. LOOKS of them are forgiven, so that a loop that is
always late gives up, too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

LOOKS: Final = 4


@asynccontextmanager
async def patient(timeout_s: float) -> AsyncIterator[None]:
    """Raises TimeoutError after `timeout_s` of a loop that is on time, and after `2 * LOOKS` waits of one that never is."""
    loop, wait_s = asyncio.get_running_loop(), timeout_s / LOOKS
    left, forgiven = LOOKS, LOOKS
    waiting: asyncio.TimerHandle

    def look(due: float) -> None:
        nonlocal waiting, left, forgiven
        now = loop.time()
        if forgiven and now - due > wait_s:
            forgiven -= 1
        else:
            left -= 1
        if left:
            waiting = loop.call_later(wait_s, look, now + wait_s)
        else:
            deadline.reschedule(now)

    async with asyncio.timeout(None) as deadline:
        waiting = loop.call_later(wait_s, look, loop.time() + wait_s)
        try:
            yield
        finally:
            waiting.cancel()

"""A request that no engine has: how long it may wait for one, and what its client hears meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.pool.context import Beat

T = TypeVar("T")


async def beating(work: Awaitable[T], beat: Beat | None) -> T:
    """What `work` comes to; until then the client is told that it waits."""
    if beat is None:
        return await work
    waiting = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((waiting,), timeout=beat.every_s))[0]:
            beat.sound()
        return waiting.result()
    finally:
        waiting.cancel()


async def still(parked: Callable[[], bool], seconds: float, beat: Beat | None) -> bool:
    """Whether it is parked, after so many seconds; False as soon as that is known."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while parked() and (left := until - clock()) > 0:
        await asyncio.sleep(left if beat is None else min(left, beat.every_s))
        if beat is not None and parked() and clock() < until:
            beat.sound()
    return parked()

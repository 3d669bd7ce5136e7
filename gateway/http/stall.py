"""How long a client may take nothing of what it is sent."""

import asyncio
from collections.abc import Awaitable

from gateway.http.body import ClientGone

STALL_S = 120.0


async def taken(sending: Awaitable[None]) -> None:
    """Raises ClientGone if the server has no room for it so long: the client reads nothing, and yet its connection is open."""
    try:
        async with asyncio.timeout(STALL_S):
            await sending
    except TimeoutError as exc:
        raise ClientGone from exc

"""Waiting for what shows only when one looks, under a deadline."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], within_s: float, what: str, every_s: float = 0.02) -> None:
    """Raises TimeoutError saying `what` never was."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110  processes and sockets set no event
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise TimeoutError(f"not within {within_s:.0f} s: {what}") from None

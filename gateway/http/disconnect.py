"""Ends work whose client has gone. Starlette notices only when it sends, and during a long prefill nothing is sent."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.http.asgi import Receive


async def while_connected(work: Coroutine[Any, Any, None], receive: Receive, ended: Callable[[], bool]) -> bool:
    """Run `work` to its end, or cancel it once the client is gone (False). The request body must have been read.

    A server reports a disconnect after a complete response too: with `ended` true it cancels nothing.
    """
    me = asyncio.current_task()
    assert me is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        if not ended():
            gone = True
            me.cancel()

    watcher = asyncio.create_task(watch())
    try:
        await work
    except asyncio.CancelledError:
        if not gone:
            raise
        me.uncancel()
    finally:
        watcher.cancel()
    return not gone

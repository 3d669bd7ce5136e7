"""Writes a response from plain function calls: no task is woken per token, and a slow client blocks nobody else.

An ASGI server's `send` only suspends when its socket is full. So it is stepped by hand: as long as it ends at once, writing is a
function call; once it suspends, a task finishes it, and what is written meanwhile waits in a buffer that the task sends next.

A stream has one writer, whoever has something to say in it, and each write is whole events: nothing lands within one.
"""

import asyncio
import time
from collections.abc import Coroutine, Generator, Iterator
from functools import partial
from typing import Any

from gateway.http import stall
from gateway.http.asgi import Headers
from gateway.http.body import ClientGone
from gateway.http.reply import Reply

PIECE = 1 << 14
"""Bytes sent at once to a slow client, and the rest of the write they end in: each that it has room for is a sign of life."""
COMMENT = b": waiting\n\n"
"""What a stream's client hears while it waits; to a parser of server-sent events it says nothing."""
SSE_HEADERS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class _Resumed:
    """Awaits the rest of a coroutine that has been stepped to its first suspension."""

    def __init__(self, work: Coroutine[Any, Any, None], waiting_for: Any) -> None:
        self._work = work
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, None]:
        waiting_for = self._waiting_for
        while True:
            try:
                yield waiting_for
            except BaseException as exc:  # noqa: BLE001  what ends the wait is for the work to handle
                step = partial(self._work.throw, exc)
            else:
                step = partial(self._work.send, None)
            try:
                waiting_for = step()
            except StopIteration:
                return


class SseWriter:
    """`write` never blocks and never raises what the client's connection does; `flushed` waits for a slow client. `head` is the
    status and headers that the first write begins the reply with.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.head: tuple[int, Headers] = (200, SSE_HEADERS)
        self._buffer: list[bytes] = []
        self._slow: asyncio.Task[None] | None = None
        self._broken: Exception | None = None
        self._patience: asyncio.Timeout | None = None

    @property
    def begun(self) -> bool:
        """Whether the reply's headers are gone, or on their way."""
        return self.reply.status != 0 or self._slow is not None

    def beat(self) -> None:
        """The client waits; one that has something to read knows already."""
        if self._slow is None:
            self.write(COMMENT)

    def write(self, chunk: bytes) -> None:
        if self._broken is not None or not chunk:
            return
        if self._slow is not None:
            self._buffer.append(chunk)
        elif self.reply.status == 0:
            self._step(self._begin(chunk))
        else:
            self._step(self.reply.write(chunk))

    async def flushed(self) -> None:
        """Raises what the connection raised, if it did, and ClientGone if the client takes nothing for STALL_S."""
        if self._slow is not None:
            began = time.monotonic()
            try:
                async with asyncio.timeout(stall.STALL_S) as self._patience:
                    await self._slow
            except TimeoutError as exc:
                raise ClientGone from exc
            finally:
                self._patience = None
                self.reply.waited_since(began)
        if self._broken is not None:
            raise self._broken

    def abandon(self) -> None:
        """What is not sent yet never will be."""
        if self._slow is not None:
            self._slow.cancel()

    async def _begin(self, chunk: bytes) -> None:
        await self.reply.start(*self.head)
        await self.reply.write(chunk)

    def _step(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            waiting_for = work.send(None)
        except StopIteration:
            return
        except Exception as exc:  # noqa: BLE001  kept for `flushed`: whoever writes is in the middle of other streams' work
            self._broken = exc
            return
        self._slow = asyncio.ensure_future(self._finish(_Resumed(work, waiting_for)))

    async def _finish(self, rest: _Resumed) -> None:
        try:
            await rest
            while self._buffer:
                pending, self._buffer = self._buffer, []
                for piece in _pieces(pending):
                    if self._patience is not None:
                        self._patience.reschedule(asyncio.get_running_loop().time() + stall.STALL_S)
                    await self.reply.write(piece)
        except Exception as exc:  # noqa: BLE001  as above
            self._broken = exc
        finally:
            self._slow = None


def _pieces(writes: list[bytes]) -> Iterator[bytes]:
    begin = size = 0
    for end, write in enumerate(writes, 1):
        size += len(write)
        if size >= PIECE or end == len(writes):
            yield b"".join(writes[begin:end])
            begin, size = end, 0

"""Where a request stands until it may start: until its permit, its refusal, or the gateway's end."""

import asyncio
from typing import Any

from gateway.admission.admission import Admission, Permit
from gateway.admission.ticket import Refusal, Ticket
from gateway.errors import ShuttingDown
from gateway.http.body import ClientGone
from gateway.http.reply import Reply
from gateway.http.sse_writer import SseWriter
from gateway.http.tickets import refused

COMMENT = b": waiting\n\n"
"""What a stream's client hears meanwhile; to a parser of server-sent events it says nothing."""


class Turnstile:
    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[Any]] = set()
        self._closed = False

    def close(self) -> None:
        """Whoever waits is refused, and whoever comes from now on."""
        self._closed = True
        for task in self._waiting:
            task.cancel()

    async def permit(self, admission: Admission, ticket: Ticket, reply: Reply, *, stream: bool) -> Permit:
        """The right to start. A stream that waits is begun with comments, and what is raised becomes its last event.

        Raises the refusal's error, ShuttingDown, or ClientGone if a client takes nothing of what it is sent.
        """
        if not stream:
            return _passed(await self._answer(admission, ticket, None))
        writer = SseWriter(reply)
        try:
            answer = await self._answer(admission, ticket, writer)
            try:
                await writer.flushed()
            except BaseException:
                if isinstance(answer, Permit):
                    answer.release()
                raise
        except TimeoutError as exc:
            raise ClientGone from exc
        finally:
            writer.abandon()
        return _passed(answer)

    async def _answer(self, admission: Admission, ticket: Ticket, writer: SseWriter | None) -> Permit | Refusal:
        me = asyncio.current_task()
        assert me is not None
        if self._closed:
            raise _closing()
        self._waiting.add(me)
        try:
            return await admission.admit(ticket, None if writer is None else lambda: writer.write(COMMENT))
        except asyncio.CancelledError:
            if not self._closed:
                raise
            me.uncancel()
            raise _closing() from None
        finally:
            self._waiting.discard(me)


def _passed(answer: Permit | Refusal) -> Permit:
    if isinstance(answer, Refusal):
        raise refused(answer)
    return answer


def _closing() -> ShuttingDown:
    return ShuttingDown("This gateway is shutting down.", headers=[("connection", "close")])

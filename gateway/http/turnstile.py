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
TIMING = b"server-timing"
"""How long the request waited, in the header's own form: a comment says it to a stream that was begun before it was known."""


class Turnstile:
    def __init__(self) -> None:
        self._waiting: set[asyncio.Task[Any] | None] = set()
        self._closed = False

    def close(self) -> None:
        """Whoever waits is refused, and whoever comes from now on."""
        self._closed = True
        for task in self._waiting:
            assert task is not None
            task.cancel()

    async def permit(self, admission: Admission, ticket: Ticket, reply: Reply, *, stream: bool) -> Permit:
        """The right to start, its wait told to the client. A stream that waits is begun with comments, and what is raised
        becomes its last event.

        Raises the refusal's error, ShuttingDown, or ClientGone if a client takes nothing of what it is sent.
        """
        if self._closed:
            raise _closing()
        writer: SseWriter | None = None

        def beat() -> None:
            nonlocal writer
            writer = writer or SseWriter(reply)
            writer.write(COMMENT)

        me = asyncio.current_task()
        self._waiting.add(me)
        try:
            answer = await admission.admit(ticket, beat if stream else None)
        except asyncio.CancelledError:
            if writer is not None:
                writer.abandon()
            if not self._closed or me is None:
                raise
            me.uncancel()
            raise _closing() from None
        finally:
            self._waiting.discard(me)
        waited = b"" if isinstance(answer, Refusal) else b"queue;dur=%.1f" % (answer.waited_s * 1e3)
        if writer is not None:
            writer.write(waited and b": " + waited + b"\n\n")
            await _flushed(writer, answer)
        elif waited:
            reply.extra.append((TIMING, waited))
        if isinstance(answer, Refusal):
            raise refused(answer)
        return answer


async def _flushed(writer: SseWriter, answer: Permit | Refusal) -> None:
    """Another writer will go on with the stream; whoever cannot be written to any more gives its permit back."""
    try:
        await writer.flushed()
    except BaseException as exc:
        writer.abandon()
        if isinstance(answer, Permit):
            answer.release()
        if isinstance(exc, TimeoutError):
            raise ClientGone from exc
        raise


def _closing() -> ShuttingDown:
    return ShuttingDown("This gateway is shutting down.", headers=[("connection", "close")])

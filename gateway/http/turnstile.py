"""Where a request stands until it may start: until its permit, its refusal, or the gateway's end."""

import asyncio
from typing import Any

from gateway.admission.admission import Admission, Permit
from gateway.admission.ticket import Refusal, Ticket
from gateway.errors import ShuttingDown
from gateway.http.sse_writer import SseWriter
from gateway.http.tickets import refused

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

    async def permit(self, admission: Admission, ticket: Ticket, writer: SseWriter, *, stream: bool) -> Permit:
        """The right to start, its wait told to the client. A stream that waits is begun with comments, and what is raised
        becomes its last event. A client that has not read them all yet starts like any other.

        Raises the refusal's error, or ShuttingDown.
        """
        if self._closed:
            raise _closing()
        me = asyncio.current_task()
        self._waiting.add(me)
        try:
            answer = await admission.admit(ticket, writer.beat if stream else None)
        except asyncio.CancelledError:
            if not self._closed or me is None:
                raise
            me.uncancel()
            raise _closing() from None
        finally:
            self._waiting.discard(me)
        if isinstance(answer, Refusal):
            raise refused(answer)
        waited = b"queue;dur=%.1f" % (answer.waited_s * 1e3)
        if writer.begun:
            writer.write(b": " + waited + b"\n\n")
        else:
            writer.reply.extra.append((TIMING, waited))
        return answer


def _closing() -> ShuttingDown:
    return ShuttingDown("This gateway is shutting down.", headers=[("connection", "close")])

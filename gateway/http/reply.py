"""One response: its headers, whether it has begun, and its error form before and after that."""

import contextlib
import time
from typing import TYPE_CHECKING

from gateway.errors import SluiceError, face_of
from gateway.http import envelope
from gateway.http.asgi import Headers, Send
from gateway.http.body import ClientGone
from gateway.http.stall import taken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

NEAR_S = 0.05
"""Waits for a client that are no further apart are one."""


class Reply:
    """Wraps `send`: adds the request id, and knows if a status line is already on its way. `start` and `write` wait for a client
    without end, for their callers to bound; `end` and `json` raise ClientGone if it reads nothing.
    """

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.dialect: envelope.Dialect = "openai"
        self.events: envelope.Events = "chat"
        self.extra: Headers = []
        self.late: Callable[[], Headers] = list
        self.status = 0
        self.ended = False
        self.failure: SluiceError | None = None
        self.waited = (0.0, 0.0)

    async def start(self, status: int, headers: Headers) -> None:
        own = [(b"x-request-id", self.request_id.encode()), *self.extra, *self.late()]
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *own]})
        self.status = status

    async def write(self, chunk: bytes) -> None:
        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        self.ended = True
        await self._taken(self._send({"type": "http.response.body", "body": chunk, "more_body": False}))

    async def json(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        length = (b"content-length", b"%d" % len(body))
        await self._taken(self.start(status, [*(headers or [(b"content-type", b"application/json")]), length]))
        await self.end(body)

    def waited_since(self, then: float) -> None:
        """For the client to read, from then (seconds of `time.monotonic`) until now; `waited` is the last such time."""
        first, last = self.waited
        self.waited = (first if then - last < NEAR_S else then, time.monotonic())

    async def _taken(self, sending: "Awaitable[None]") -> None:
        began = time.monotonic()
        try:
            await taken(sending)
        finally:
            self.waited_since(began)

    async def error(self, err: SluiceError) -> None:
        """The whole answer, or in mid-stream its last event. A client that does not read it misses it."""
        if self.ended:
            return
        self.failure = err
        with contextlib.suppress(ClientGone):
            if not self.status:
                told = envelope.body(err, self.dialect, self.request_id)
                await self.json(face_of(err).status, told, envelope.headers(err))
                return
            event = envelope.sse_event(err, self.events, request_id=self.request_id)
            await self.end(event + b"data: [DONE]\n\n" if self.events == "chat" else event)

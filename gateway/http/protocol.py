"""uvicorn's HTTP protocol with bounds on what a connection may hold, which nobody needs a key to open."""

import asyncio
import json
from collections.abc import Callable

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
"""Bytes of a head, and of what brings a body no further: trailers, extensions of chunks, empty lines."""
HEAD_TIMEOUT_S = 30.0
REST_S = 60.0
"""For the rest of a body whose request has its answer already: many clients send all of it before they read that."""

MOST_AHEAD = 16
"""Requests that wait in one connection for the answer to another. uvicorn would take any number."""


class BoundedHttp(HttpToolsProtocol):
    """A head that grows beyond MAX_HEAD, or is not there after HEAD_TIMEOUT_S, ends its connection, and so does all else that
    a client may send without end. While nobody works on a request, a timer runs: this one or uvicorn's.
    """

    _head_bytes = 0
    _head_complete = False
    _got_on = False
    _timer: asyncio.TimerHandle | None = None

    @property
    def has_asked(self) -> bool:
        """Whether a request's head has ever come."""
        return self.cycle is not None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # TLS brings what comes until all is written
        self._got_on = False
        super().data_received(data)
        if self.transport.is_closing():
            return
        self._head_bytes = 0 if self._got_on else self._head_bytes + len(data)
        if self._head_bytes > MAX_HEAD:
            self._too_much()
        elif self._timer is None and self.cycle.response_complete:
            # uvicorn's keep-alive timer has ended with this data.
            self._wait(REST_S, self.transport.close)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_complete:
            self._await_head()

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= MOST_AHEAD:
            raise HttpParserError("too many requests ahead of their answers")
        self._head_complete = self._got_on = True
        self._stop_waiting()
        super().on_headers_complete()
        self.headers = []  # of trailers, which are not the request's: its scope has had its own

    def on_body(self, body: bytes) -> None:
        self._got_on = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        if self.cycle.response_complete:
            self._wait(self.timeout_keep_alive, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "Bad Request", msg)

    def _await_head(self) -> None:
        self._head_bytes, self._head_complete = 0, False
        self._wait(HEAD_TIMEOUT_S, self._too_late)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_much(self) -> None:
        if self._head_complete:
            self.transport.abort()
        else:
            self._refuse(431, "Request Header Fields Too Large", f"The request's head exceeds {MAX_HEAD} bytes.")

    def _too_late(self) -> None:
        if self._head_bytes:
            self._refuse(
                408, "Request Timeout", f"The request's head did not arrive within {HEAD_TIMEOUT_S:.0f} seconds."
            )
        else:
            self.transport.close()

    def _refuse(self, status: int, phrase: str, message: str) -> None:
        """Answer in OpenAI's envelope and close; there is no request that an application could answer."""
        self._stop_waiting()
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "bad_http"}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

"""uvicorn's HTTP protocol with bounds on a request's head, which nobody needs a key to send."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
HEAD_TIMEOUT_S = 30.0


class BoundedHttp(HttpToolsProtocol):
    """A head that grows beyond MAX_HEAD, or is not there after HEAD_TIMEOUT_S, ends its connection."""

    _head_bytes = 0
    _head_complete = False
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_complete or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD:
            self._refuse(431, "Request Header Fields Too Large", f"The request's head exceeds {MAX_HEAD} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_complete:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_complete = True
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "Bad Request", msg)

    def _await_head(self) -> None:
        self._head_bytes, self._head_complete = 0, False
        self._stop_waiting()
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._too_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_late(self) -> None:
        if self._head_bytes:
            self._refuse(
                408, "Request Timeout", f"The request's head did not arrive within {HEAD_TIMEOUT_S:.0f} seconds."
            )
        else:
            self.transport.close()

    def _refuse(self, status: int, phrase: str, message: str) -> None:
        """Answer in OpenAI's envelope and close; there is no request that an application could answer."""
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": "bad_http"}
        body = json.dumps({"error": error}).encode()
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()

"""A lean HTTP client for server-sent events: raw sockets, no parsing of JSON while a measurement runs."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Self

from loadtests.sse import ChunkedBody, EventSplitter, SizedBody, body_reader, read_head


@dataclass(slots=True)
class Exchange:
    """One request and all that came back. Times are seconds of time.perf_counter; `arrivals[i]` is when `events[i]` was read."""

    sent: float
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    body: bytes = b""
    ended: float = 0.0
    error: str = ""


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time. What goes wrong is told by `Exchange.error`, never raised."""

    def __init__(self) -> None:
        self.open = False
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._head = b""
        self._reader: ChunkedBody | SizedBody | None = None
        self._splitter: EventSplitter | None = None

    @classmethod
    async def to(cls, host: str, port: int) -> Self:
        _, protocol = await asyncio.get_running_loop().create_connection(cls, host, port)
        return protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport, self.open = transport, True  # type: ignore[assignment]

    async def ask(self, payload: bytes, timeout_s: float) -> Exchange:
        """Send one whole request; the exchange is complete, or its error says why not."""
        assert self._transport is not None
        self._head, self._reader, self._splitter = b"", None, None
        self._ended = asyncio.get_running_loop().create_future()
        exchange = self._exchange = Exchange(time.perf_counter())
        self._transport.write(payload)
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended
        except TimeoutError:
            exchange.error = f"no end within {timeout_s:.0f} s"
        if exchange.error:
            self.close()
        exchange.ended = exchange.ended or time.perf_counter()
        self._exchange = None
        return exchange

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        exchange = self._exchange
        if exchange is None:
            return
        try:
            reader = self._reader
            if reader is None:
                self._head += data
                head, found, data = self._head.partition(b"\r\n\r\n")
                if not found:
                    return
                reader = self._begin(exchange, head)
            piece = reader.feed(data)
            if self._splitter is None:
                exchange.body += piece
            elif piece:
                for event in self._splitter.feed(piece):
                    exchange.events.append(event)
                    exchange.arrivals.append(now)
            if reader.done:
                self._end(now)
        except (ValueError, IndexError) as exc:
            exchange.error = f"not HTTP: {exc}"
            self._end(now)

    def _begin(self, exchange: Exchange, head: bytes) -> ChunkedBody | SizedBody:
        exchange.status, exchange.headers = read_head(head)
        self._reader = body_reader(exchange.headers)
        if exchange.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
            self._splitter = EventSplitter()
        return self._reader

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._exchange is not None and self._ended is not None and not self._ended.done():
            if not (isinstance(self._reader, SizedBody) and self._reader.until_close):
                self._exchange.error = f"connection lost: {exc or 'closed by the server'}"
            self._end(time.perf_counter())

    def _end(self, now: float) -> None:
        assert self._exchange is not None
        self._exchange.ended = now
        if self._exchange.headers.get(b"connection", b"").lower() == b"close":
            self.close()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


def post(host: str, path: str, body: dict[str, Any], key: str = "") -> bytes:
    """A whole HTTP/1.1 request with a JSON body; `key` is sent as a bearer token."""
    content = json.dumps(body).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
    ]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content

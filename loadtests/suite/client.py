"""One keep-alive connection on a plain blocking socket: cheap, and cooperative wherever gevent has patched sockets.

Nothing is decoded while a stream runs; what came and when goes into an Exchange, to be read after its end.
"""

import re
import socket
import ssl
import time
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from loadtests.client import Exchange
from loadtests.sse import ChunkedBody, EventSplitter, SizedBody, body_reader, read_head

PIECE = 1 << 16
DONE = b"[DONE]"
KEEP_ALIVE_S, SPARE_S = 75.0, 5.0
"""How long the gateway keeps an idle connection (`gateway.keep_alive_s`), and how much earlier it is no longer used: no request is
to meet a server that is just closing.
"""
_QUEUE = re.compile(rb"queue;dur=([0-9.]+)")


class AddressError(ValueError):
    """A URL that no load can be sent to, or an authority that cannot be read; the message says which."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    tls: ssl.SSLContext | None = None


@cache
def address(url: str, authority: str = "") -> Address:
    """Where an http:// or https:// URL leads. Certificates are verified: against the PEM file `authority`, or else against the
    system's authorities. Raises AddressError.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise AddressError(f"{url!r}: neither http:// nor https://")
        tls = ssl.create_default_context(cafile=authority or None) if parts.scheme == "https" else None
        return Address(parts.hostname, parts.port or (443 if tls else 80), tls)
    except OSError as exc:
        raise AddressError(f"{authority}: {exc}") from exc


@dataclass(frozen=True)
class Leave:
    """When a client goes away by itself: after so many events, or so many seconds without waiting for any."""

    events: int = 0
    seconds: float = 0.0


class Connection:
    """One request at a time. What goes wrong is told by `Exchange.error`, never raised. Nothing is sent twice: a server that closes
    a connection which it should have kept has failed the request.
    """

    def __init__(self, address: Address, stall_s: float, keep_alive_s: float = KEEP_ALIVE_S) -> None:
        """`stall_s`: how long the server may be silent. `keep_alive_s`: how long it keeps a connection that is idle."""
        self._address, self._stall_s, self._keep_s = address, stall_s, keep_alive_s - SPARE_S
        self._socket: socket.socket | None = None
        self._idle_since = 0.0

    @property
    def open(self) -> bool:
        return self._socket is not None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, payload: bytes, leave: Leave | None = None) -> Exchange:
        """Send one whole request and read all of its answer, or go away in mid-stream as `leave` says."""
        exchange = Exchange(time.perf_counter())
        if exchange.sent - self._idle_since > self._keep_s:
            self.close()
        try:
            self._converse(payload, exchange, leave)
        except (OSError, ValueError, IndexError) as exc:
            exchange.error = f"{type(exc).__name__}: {exc}"
        self._idle_since = time.perf_counter()
        exchange.ended = exchange.ended or self._idle_since
        if exchange.error or leave is not None or exchange.headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return exchange

    def _converse(self, payload: bytes, exchange: Exchange, leave: Leave | None) -> None:
        if self._socket is None:
            self._socket = self._connect()
        sock = self._socket
        sock.sendall(payload)
        if leave is not None and not leave.events:
            time.sleep(leave.seconds)
            return
        data = _read_head(sock, exchange)
        body = _Body(exchange)
        while not body.take(data) and (leave is None or len(exchange.events) < leave.events):
            data = sock.recv(PIECE)
            if not data:
                if body.until_close:
                    break
                raise ConnectionError("closed by the server in mid-answer")
        exchange.ended = time.perf_counter()
        exchange.error = body.problem

    def _connect(self) -> socket.socket:
        to = self._address
        plain = socket.create_connection((to.host, to.port), timeout=self._stall_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return plain if to.tls is None else to.tls.wrap_socket(plain, server_hostname=to.host)


class _Body:
    """Puts the body's pieces where they belong."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._reader = body_reader(exchange.headers)
        is_stream = exchange.headers.get(b"content-type", b"").startswith(b"text/event-stream")
        self._splitter = EventSplitter() if is_stream else None
        self._over, self._late = False, b""

    def take(self, data: bytes) -> bool:
        """True once the body has ended."""
        exchange = self._exchange
        piece = self._reader.feed(data)
        if self._splitter is None:
            exchange.body += piece
        elif piece:
            if piece.startswith(b":") and (found := _QUEUE.search(piece)):
                # A stream that was begun before its wait was over is told of it by a comment instead of the header.
                exchange.headers[b"server-timing"] = found[0]
            over = self._over
            events = self._splitter.feed(piece)
            self._over = over or (bool(events) and events[-1] == DONE)
            # A network may have cut the last event's bytes anywhere.
            if over or (self._over and not DONE.endswith(piece.rstrip()[-len(DONE) :])):
                self._late = piece
            exchange.events += events
            exchange.arrivals += [time.perf_counter()] * len(events)
        return self._reader.done

    @property
    def until_close(self) -> bool:
        return isinstance(self._reader, SizedBody) and self._reader.until_close

    @property
    def problem(self) -> str:
        if isinstance(self._reader, ChunkedBody) and self._reader.done and self._reader.rest:
            return "bytes after the end of the answer"
        ended = self._reader.done or self.until_close
        if ended and self._splitter is not None and (surplus := self._splitter.surplus or self._late):
            return f"bytes that are no event: {surplus[:60]!r}"
        return ""


def _read_head(sock: socket.socket, exchange: Exchange) -> bytes:
    """Takes status and headers; what has come of the body is returned."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(PIECE)
        if not piece:
            raise ConnectionError("closed by the server before an answer")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    exchange.status, exchange.headers = read_head(head)
    return rest


def queue_s(headers: dict[bytes, bytes]) -> float | None:
    """Seconds that the gateway let the request wait, by its Server-Timing; None if it does not say."""
    found = _QUEUE.search(headers.get(b"server-timing", b""))
    return None if found is None else float(found[1]) / 1e3


def retry_after_s(headers: dict[bytes, bytes]) -> float | None:
    """The header's seconds; None if there is none, or none that is a number."""
    value = headers.get(b"retry-after", b"")
    return float(value) if value.isdigit() else None

"""HTTP/1.1 response bodies and server-sent events, however the network cuts them into pieces."""


class ChunkedBody:
    """Undoes chunked transfer coding. A chunk counts once all of it is there; `done` after the last one and its trailer."""

    __slots__ = ("_last", "_rest", "done")

    def __init__(self) -> None:
        self._rest = b""
        self._last = False
        self.done = False

    @property
    def rest(self) -> bytes:
        """What has come and belongs to no complete chunk: once `done`, bytes after the end of the response."""
        return self._rest

    def feed(self, data: bytes) -> bytes:
        """The payload that became complete. Raises ValueError on bytes that are no chunk."""
        if self._rest:
            data = self._rest + data
        parts: list[bytes] = []
        at = 0
        while not self.done:
            eol = data.find(b"\r\n", at)
            if eol < 0:
                break
            if self._last:
                self.done = eol == at
                at = eol + 2
                continue
            size = int(data[at:eol].partition(b";")[0], 16)
            end = eol + 2 + size
            if size == 0:
                self._last = True
            elif len(data) < end + 2:
                break
            else:
                parts.append(data[eol + 2 : end])
            at = end if size == 0 else end + 2
        self._rest = data[at:]
        return parts[0] if len(parts) == 1 else b"".join(parts)


class SizedBody:
    """A body whose Content-Length was announced; None means until the connection closes."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int | None) -> None:
        self._left = length
        self.done = length == 0

    @property
    def until_close(self) -> bool:
        return self._left is None

    def feed(self, data: bytes) -> bytes:
        if self._left is None:
            return data
        taken = data[: self._left]
        self._left -= len(taken)
        self.done = self._left == 0
        return taken


FIELDS = frozenset({b"data", b"event", b"id", b"retry", b""})
"""What a line of an event begins with; a comment begins with its colon."""


class EventSplitter:
    """Splits a body into the payloads (`data:` lines joined) of its events. Comments are skipped; a CR never ends a line alone."""

    __slots__ = ("_rest", "_strange")

    def __init__(self) -> None:
        self._rest = self._strange = b""

    @property
    def surplus(self) -> bytes:
        """What belongs to no event: a line that is no field of one, or what has come after the last empty line."""
        return self._strange or self._rest

    def feed(self, piece: bytes) -> list[bytes]:
        if b"\r" in piece:
            piece = piece.replace(b"\r", b"")
        *blocks, self._rest = (self._rest + piece if self._rest else piece).split(b"\n\n")
        return [payload for block in blocks if (payload := self._payload(block)) is not None]

    def _payload(self, block: bytes) -> bytes | None:
        if block.startswith(b"data: ") and b"\n" not in block:
            return block[6:]
        lines = block.split(b"\n")
        self._strange = self._strange or next((line for line in lines if line.partition(b":")[0] not in FIELDS), b"")
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        return b"\n".join(data) if data else None


def read_head(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Status and lower-cased headers of a response head without its final empty line."""
    status_line, *lines = head.split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return int(status_line.split(b" ", 2)[1]), headers


def body_reader(headers: dict[bytes, bytes]) -> ChunkedBody | SizedBody:
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        return ChunkedBody()
    length = headers.get(b"content-length")
    return SizedBody(None if length is None else int(length))

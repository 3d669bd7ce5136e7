"""One record is one JSON line. It carries the hash of the record before it and, last, a keyed hash of itself.

    {"v":1,"seq":7,"time":"2026-05-01T12:00:00.000Z","chain":"gateway-0","event":"auth.failed",
     "fields":{…},"prev":"<hash of 6>","hash":"<HMAC-SHA256 of all bytes before ,"hash">"}

The hash covers the bytes as they stand in the file, so that even a space more is a change.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from gateway.errors import OperatorError

SCHEMA: Final = 1
GENESIS: Final = "0" * 64
_SEAL: Final = len(',"hash":""}') + 64

Word = str | int | float | bool | None
Fields = dict[str, Word | list[Word]]


class AuditError(OperatorError):
    """The audit trail cannot be opened, or a record could not be made durable."""


class Event(StrEnum):
    """What is recorded: a closed vocabulary. The `audit.` ones are the trail's own."""

    AUTH_FAILED = "auth.failed"
    REQUEST_REFUSED = "request.refused"
    REQUEST_CUT = "request.cut"
    REQUEST_POISONED = "request.poisoned"
    LEVEL_CHANGED = "guard.level"
    QUARANTINED = "guard.quarantined"
    RELEASED = "guard.released"
    KEY_CREATED = "key.created"
    KEY_REVOKED = "key.revoked"
    CONFIG_LOADED = "config.loaded"
    REPAIRED = "audit.repaired"
    BROKEN = "audit.broken"
    RETIRED = "audit.retired"
    DROPPED = "audit.dropped"


class Entry(NamedTuple):
    """What happened, before it has its place in a chain; `time` in seconds since the epoch."""

    event: Event
    time: float
    fields: Fields


class Body(msgspec.Struct, frozen=True):
    v: int
    seq: int
    time: str
    chain: str
    event: str
    fields: Fields
    prev: str


class Record(Body, frozen=True):
    hash: str

    @property
    def at(self) -> float:
        """Seconds since the epoch."""
        return datetime.fromisoformat(self.time).timestamp()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def sealed(key: bytes, chain: str, seq: int, prev: str, entry: Entry) -> tuple[bytes, str]:
    """The line, its newline included, and its hash."""
    moment = datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = _encode(Body(SCHEMA, seq, moment, chain, str(entry.event), entry.fields, prev))[:-1]
    digest = _mac(key, body)
    return b'%b,"hash":"%b"}\n' % (body, digest.encode()), digest


def unsealed(key: bytes, chain: str, line: bytes) -> Record | None:
    """The record in a line without its newline; None unless every byte of it was written under this key for this chain."""
    body, seal = line[:-_SEAL], line[-_SEAL:]
    if not hmac.compare_digest(seal, b',"hash":"%b"}' % _mac(key, body).encode()):
        return None
    try:
        record = _decode(line)
    except msgspec.MsgspecError:
        return None
    return record if record.chain == chain else None


def _mac(key: bytes, body: bytes) -> str:
    return hmac.digest(key, body, hashlib.sha256).hex()

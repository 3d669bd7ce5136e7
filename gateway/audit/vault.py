"""What the trail is checked against, kept apart from it: the secret, and for each chain how far it is known to reach.

A head says "record `seq` with this hash ends at byte `size` of `file`, and is durable". It is written in two places by
turns, each in one sector and under a keyed hash, so that a crash in mid-write leaves the other standing.
"""

import contextlib
import fcntl
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from gateway.audit.record import GENESIS, AuditError

_PLACE: Final = 512


class State(msgspec.Struct, frozen=True):
    """`size` in bytes; `file` is 0 while the chain has none."""

    chain: str
    seq: int = 0
    hash: str = GENESIS
    file: int = 0
    size: int = 0


class Keys(NamedTuple):
    """Derived from the one secret, so that what one of them made is nothing to another."""

    chain: bytes
    head: bytes
    names: bytes


class Head:
    """One chain's head, locked against every other writer for as long as it is open. A new one is written at once: a
    chain that has files and no head has lost it.
    """

    def __init__(self, chain: str, descriptor: int, key: bytes) -> None:
        self._descriptor, self._key, self._turn = descriptor, key, 0
        self.state = State(chain)
        if (known := _read(descriptor, key, chain)) is None:
            self.move(self.state)
        else:
            self._turn, self.state = known

    def move(self, state: State) -> None:
        """Durable when it returns; raises OSError."""
        body = msgspec.json.encode(state)
        place = b"%b\n%b\n" % (body, hmac.digest(self._key, body, hashlib.sha256).hex().encode())
        os.pwrite(self._descriptor, place.ljust(_PLACE), self._turn * _PLACE)
        os.fdatasync(self._descriptor)
        self._turn, self.state = 1 - self._turn, state

    def close(self) -> None:
        os.close(self._descriptor)


class Vault:
    """Raises AuditError where there is no secret and none is to be made, and OSError."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        self.folder = folder
        file = folder / "secret"
        if create:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _make_secret(file)
        try:
            secret = file.read_bytes()
        except FileNotFoundError:
            raise AuditError(f"{file}: there is no secret here to check an audit trail with.") from None
        if len(secret) != 32:
            raise AuditError(f"{file}: not an audit secret.")
        self.keys = Keys(*(hmac.digest(secret, purpose, hashlib.sha256) for purpose in (b"chain", b"head", b"names")))

    def knows(self, chain: str) -> bool:
        return (self.folder / f"{chain}.head").exists()

    def claim(self, chain: str) -> Head | None:
        """The head of a chain that no process writes at the moment, else None; made if there is none."""
        descriptor = os.open(self.folder / f"{chain}.head", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return Head(chain, descriptor, self.keys.head)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except (AuditError, OSError):
            os.close(descriptor)
            raise

    def chains(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.head"))

    def state(self, chain: str) -> State | None:
        """None if there is none, or an empty one. Raises AuditError for a head that cannot be read."""
        if not self.knows(chain):
            return None
        descriptor = os.open(self.folder / f"{chain}.head", os.O_RDONLY | os.O_CLOEXEC)
        try:
            known = _read(descriptor, self.keys.head, chain)
            return None if known is None else known[1]
        finally:
            os.close(descriptor)


def _read(descriptor: int, key: bytes, chain: str) -> tuple[int, State] | None:
    """The place to write next, and the newest state; None of an empty file."""
    raw = os.pread(descriptor, 2 * _PLACE, 0)
    known = [(place, state) for place in (0, 1) if (state := _state(raw[place * _PLACE :][:_PLACE], key, chain))]
    if not known:
        if raw.strip(b"\0 "):
            raise AuditError(f"The head of audit chain '{chain}' cannot be read.")
        return None
    place, state = max(known, key=lambda pair: (pair[1].seq, pair[1].size))
    return 1 - place, state


def _state(place: bytes, key: bytes, chain: str) -> State | None:
    body, _, mac = place.rstrip().partition(b"\n")
    if not hmac.compare_digest(mac, hmac.digest(key, body, hashlib.sha256).hex().encode()):
        return None
    state = msgspec.json.decode(body, type=State)
    return state if state.chain == chain else None


def _make_secret(file: Path) -> None:
    """Linked into place, so that of several processes that start at once all read the same one."""
    if file.exists():
        return
    draft = file.with_name(f"secret.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(secrets.token_bytes(32))
        out.flush()
        os.fsync(out.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(draft, file)
    draft.unlink()

"""The key file: many gateways read it, any of them and the command line may write it, and no update is lost.

Writers take a lock on a file beside it and replace it atomically. Readers look at its stat at most once a second
and read it only when that changed, so that a revocation holds within two seconds without a restart.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hmac
import json
import logging
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.auth.keys import KeyRecord, Principal, Scope, digest_of, key_id_of, mint
from gateway.errors import KeyExpired, KeyStoreError, Unauthenticated, UnknownKeyId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_log: Final = logging.getLogger(__name__)

VERSION: Final = 1
CHECK_INTERVAL: Final = 1.0
INVALID: Final = "Invalid API key."
_NO_DIGEST: Final = bytes(32)

_Known = tuple[bytes, Principal, float | None]
_Stamp = tuple[int, int, int]


class KeyStore:
    """A file that does not exist yet is an empty store; one that cannot be understood stops the start."""

    def __init__(self, path: str | Path, *, entropy: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._path = Path(path)
        self._entropy = entropy
        self._stamp: _Stamp | None = None
        self._known: Mapping[str, _Known] = {}
        self._next_check = float("-inf")
        self._last_check = float("-inf")
        self._problem: str | None = None
        self._load()

    def create(
        self,
        *,
        name: str,
        tenant: str,
        now: float,
        tier: str = "standard",
        scopes: Iterable[str] = (Scope.INFERENCE, Scope.MODELS),
        expires: float | None = None,
    ) -> tuple[KeyRecord, str]:
        """A new key and its plaintext, which exists nowhere else; raises ValueError on an unknown scope."""
        granted = frozenset(str(Scope(scope)) for scope in scopes)
        with self._locked():
            records = list(self._read())
            taken = {record.id for record in records}
            key_id, plaintext = mint(self._entropy)
            while key_id in taken:
                key_id, plaintext = mint(self._entropy)
            record = KeyRecord(
                id=key_id,
                name=name,
                tenant=tenant,
                tier=tier,
                scopes=granted,
                created=now,
                expires=expires,
                digest=digest_of(plaintext).hex(),
            )
            self._write([*records, record])
        return record, plaintext

    def list(self) -> tuple[KeyRecord, ...]:
        """Every key ever made, the revoked and expired ones too."""
        return self._read()

    def revoke(self, key_id: str, now: float) -> KeyRecord:
        """The record as it is afterwards; a key that is revoked already keeps its time of revocation."""
        with self._locked():
            records = {record.id: record for record in self._read()}
            if key_id not in records:
                raise UnknownKeyId(f"There is no key with the id '{key_id}'.")
            if records[key_id].revoked is None:
                records[key_id] = dataclasses.replace(records[key_id], revoked=now)
                self._write(records.values())
        return records[key_id]

    def authenticate(self, presented: str, now: float) -> Principal:
        """Raises Unauthenticated, or KeyExpired for the right secret of an expired key.

        An unknown or malformed key is hashed and compared like a known one: the time taken tells nothing of
        which ids exist.
        """
        if not self._last_check <= now < self._next_check:
            self._last_check, self._next_check = now, now + CHECK_INTERVAL
            self._refresh()
        known = self._known.get(key_id_of(presented) or "")
        expected = _NO_DIGEST if known is None else known[0]
        same = hmac.compare_digest(digest_of(presented), expected)
        if known is None or not same:
            raise Unauthenticated(INVALID)
        if known[2] is not None and now >= known[2]:
            raise KeyExpired("This API key has expired.")
        return known[1]

    def warnings(self, now: float) -> tuple[str, ...]:
        """Why the keys that count are not those of the file, if they are not: a revocation by hand may not hold. Whoever asks does
        not put off the look of the next request, which may come with a key that is new.
        """
        if not self._last_check <= now < self._next_check:
            self._refresh()
        return () if self._problem is None else (self._problem,)

    def _refresh(self) -> None:
        """Keep the last good set whatever happens to the file: a broken disk must not lock every client out."""
        try:
            if _stamp_of(self._path.stat()) != self._stamp:
                self._load()
                self._problem = None
        except FileNotFoundError:
            if self._stamp is not None:
                self._stamp = None
                self._keep(f"key file is gone; keeping the last good set: {self._path}")
        except KeyStoreError as exc:
            self._keep(f"key file cannot be used; keeping the last good set: {exc}")
        except OSError as exc:
            self._stamp = None  # so that it is read again, even if it comes back as it was
            self._keep(f"key file cannot be used; keeping the last good set: {exc}")

    def _keep(self, problem: str) -> None:
        if problem != self._problem:
            _log.error(problem)
        self._problem = problem

    def _load(self) -> None:
        raw, self._stamp = self._raw()
        if self._stamp is not None:
            self._known = {
                record.id: (bytes.fromhex(record.digest), record.principal, record.expires)
                for record in _parsed(raw, self._path)
                if record.revoked is None
            }

    def _read(self) -> tuple[KeyRecord, ...]:
        raw, stamp = self._raw()
        return () if stamp is None else _parsed(raw, self._path)

    def _raw(self) -> tuple[bytes, _Stamp | None]:
        try:
            with self._path.open("rb") as file:
                return file.read(), _stamp_of(os.fstat(file.fileno()))
        except FileNotFoundError:
            return b"", None
        except OSError as exc:
            raise KeyStoreError(f"{self._path}: {exc.strerror}") from exc

    def _write(self, records: Iterable[KeyRecord]) -> None:
        keys = [dataclasses.asdict(record) | {"scopes": sorted(record.scopes)} for record in records]
        text = json.dumps({"version": VERSION, "keys": keys}, indent=1)
        draft = self._path.with_name(self._path.name + ".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # Two writes in one tick of the file system's clock would look the same to a reader's stat.
        written = draft.stat().st_mtime_ns
        if self._path.exists():
            written = max(written, self._path.stat().st_mtime_ns + 1)
        os.utime(draft, ns=(written, written))
        draft.replace(self._path)
        self._next_check = float("-inf")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock is a file of its own, for the key file itself is another one after each write."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._path.with_name(self._path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as exc:
            raise KeyStoreError(f"{self._path}: {exc.strerror}") from exc


def _stamp_of(stat: os.stat_result) -> _Stamp:
    return stat.st_mtime_ns, stat.st_ino, stat.st_size


def _parsed(raw: bytes, path: Path) -> tuple[KeyRecord, ...]:
    try:
        document = json.loads(raw)
        if document["version"] != VERSION:
            raise KeyStoreError(f"{path}: version {document['version']!r}; this program reads {VERSION}.")
        records = tuple(_record(entry) for entry in document["keys"])
    except (ValueError, TypeError, KeyError) as exc:
        raise KeyStoreError(f"{path}: not a key file ({type(exc).__name__}: {exc}).") from exc
    if len({record.id for record in records}) != len(records):
        raise KeyStoreError(f"{path}: two keys have the same id.")
    return records


def _record(entry: dict[str, object]) -> KeyRecord:
    scopes = entry["scopes"]
    if not isinstance(scopes, list):
        raise TypeError("scopes must be a list")
    record = KeyRecord(**{**entry, "scopes": frozenset(str(Scope(scope)) for scope in scopes)})  # type: ignore[arg-type]
    texts = (record.id, record.name, record.tenant, record.tier, record.digest)
    if not all(isinstance(text, str) for text in texts) or len(bytes.fromhex(record.digest)) != 32:
        raise ValueError("a key lacks its id, name, tenant, tier or digest")
    times = (record.created, record.expires or 0.0, record.revoked or 0.0)
    if not all(type(time) in (int, float) for time in times):
        raise ValueError("a key's times must be seconds since the epoch")
    return record

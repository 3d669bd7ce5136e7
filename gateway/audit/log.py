"""The audit log of one process: `record` returns at once, a thread writes what has gathered since its last commit.

One commit is one write and two fdatasyncs, for however many records: a slow disk makes commits larger, and no stream
waits for it. While the disk fails, records gather up to `capacity` and are tried again; after an error in mid-write a
record may stand in the trail twice. Beyond the capacity, and beyond the pace of its kind, a record is only counted, and
the count is recorded. So nobody can fill the disk, or have older records retired, by being refused very often. Whatever
was acknowledged is durable.
"""

import contextlib
import itertools
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Final, NamedTuple, Self

from gateway.audit import files
from gateway.audit.chain import DEFAULT_RETENTION, Chain, Retention
from gateway.audit.record import AuditError, Entry, Event
from gateway.audit.redaction import pseudonym
from gateway.audit.vault import Head, Vault

SLOTS: Final = 1000
RETRY_S: Final = 0.5
TIDY_S: Final = 3600.0
TELL_S: Final = 10.0
_ROLE: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")

_log: Final = logging.getLogger(__name__)


class Pace(NamedTuple):
    """Of each kind of event `burst` records at once, then `per_s` in a second."""

    burst: float = 2000.0
    per_s: float = 5.0


DEFAULT_PACE: Final = Pace()


class _Waiting(NamedTuple):
    entry: Entry
    acknowledge: Future[int] | None


class AuditLog:
    """Made by `open`. `problem` tells why records are not durable at the moment, and is None while they are."""

    def __init__(
        self,
        folder: Path,
        vault: Vault,
        head: Head,
        retention: Retention,
        pace: Pace,
        capacity: int,
        clock: Callable[[], float],
    ) -> None:
        self._folder, self._vault, self._head, self._retention = folder, vault, head, retention
        self._pace, self._capacity, self._clock = pace, capacity, clock
        self._spent: dict[Event, tuple[float, float]] = {}
        self._chain: Chain | None = None
        self._queue: list[_Waiting] = []
        self._dropped: Counter[Event] = Counter()
        self._wake = threading.Condition()
        self._closing = threading.Event()
        self._tidied = self._told = clock()
        self.problem: str | None = None
        self.chain = head.state.chain
        self._reopen()
        self._tidy_others()
        self._thread = threading.Thread(target=self._run, name=f"audit-{self.chain}", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        folder: Path,
        role: str,
        vault: Path,
        *,
        retention: Retention = DEFAULT_RETENTION,
        pace: Pace = DEFAULT_PACE,
        capacity: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Takes the first chain `<role>-<n>` that no process is writing, and continues it. Raises AuditError.

        `vault` is the folder of the secret and the heads: who may write to `folder` should not be able to write there.
        """
        if not _ROLE.fullmatch(role):
            raise AuditError(f"'{role}' cannot name an audit chain.")
        head: Head | None = None
        try:
            known = Vault(vault)
            head = _claim(known, folder, role)
            return cls(folder, known, head, retention, pace, capacity, clock)
        except OSError as exc:
            if head is not None:
                head.close()
            raise AuditError(f"The audit trail in {folder} cannot be opened: {exc}") from exc

    def record(self, event: Event, /, **fields: object) -> bool:
        """Returns at once; False if the record is only counted. Fields: see redaction.py."""
        entry = Entry(event, self._clock(), fields)  # type: ignore[arg-type]  # redacted when it is written
        with self._wake:
            if len(self._queue) >= self._capacity or self._closing.is_set() or not self._in_pace(event, entry.time):
                self._dropped[event] += 1
                return False
            self._queue.append(_Waiting(entry, None))
            self._wake.notify()
        return True

    def submit(self, event: Event, /, **fields: object) -> Future[int]:
        """The record's sequence number once it is durable, or AuditError; never only counted.

        `await asyncio.wrap_future(log.submit(…))`, or `.result(timeout)` where there is no loop.
        """
        future: Future[int] = Future()
        entry = Entry(event, self._clock(), fields)  # type: ignore[arg-type]  # as in record
        with self._wake:
            if self._closing.is_set():
                future.set_exception(AuditError("The audit log is closed."))
            else:
                self._queue.append(_Waiting(entry, future))
                self._wake.notify()
        return future

    def pseudonym(self, field: str, value: str) -> str:
        """What a record shows for this value of a field that is not plain."""
        return pseudonym(self._vault.keys.names, field, value)

    def close(self, timeout_s: float = 5.0) -> None:
        """Writes what is queued; a disk that fails still is given up. The second time does nothing."""
        with self._wake:
            self._closing.set()
            self._wake.notify()
        self._thread.join(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        left: list[_Waiting] = []
        try:
            for batch in self._batches():
                left = batch
                if batch:
                    self._commit(batch)
                left = []
                self._tidy()
        finally:
            with self._wake:
                self._closing.set()
                left, self._queue = left + self._queue, []
            self.problem = "the audit log is closed"
            for waiting in left:
                _resolve(waiting, AuditError("The record could not be made durable."))
            if self._chain is not None:
                self._chain.close()
            self._head.close()

    def _batches(self) -> Iterator[list[_Waiting]]:
        """All that is queued, as soon as there is anything; nothing, when it is time to look for other work."""
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._queue or self._closing.is_set(), TELL_S)
                closing, now = self._closing.is_set(), self._clock()
                batch, self._queue = self._queue, []
                if closing or not 0 <= now - self._told < TELL_S:
                    self._told = now
                    dropped, self._dropped = self._dropped, Counter()
                    told = [Entry(Event.DROPPED, now, {"event": event, "count": n}) for event, n in dropped.items()]
                    batch += [_Waiting(entry, None) for entry in told]
            if closing and not batch:
                return
            yield batch

    def _in_pace(self, event: Event, now: float) -> bool:
        spent, at = self._spent.get(event, (0.0, now))
        spent = max(0.0, spent - self._pace.per_s * max(0.0, now - at))
        if spent + 1 > self._pace.burst:
            return False
        self._spent[event] = (spent + 1, now)
        return True

    def _commit(self, batch: list[_Waiting]) -> None:
        while (last := self._written([waiting.entry for waiting in batch])) is None:
            if self._closing.is_set():
                _log.error("audit: %d records are lost, the log was closed while they could not be written", len(batch))
                for waiting in batch:
                    _resolve(waiting, AuditError(f"The record could not be made durable: {self.problem}"))
                return
            self._closing.wait(RETRY_S)
        self.problem = None
        for waiting, seq in zip(batch, range(last - len(batch) + 1, last + 1), strict=True):
            _resolve(waiting, seq)

    def _written(self, entries: list[Entry]) -> int | None:
        """The number of the last of them, or None if the disk failed."""
        try:
            return (self._chain or self._reopen()).append(entries, self._clock())
        except OSError as exc:
            self._fail(exc)
            return None

    def _reopen(self) -> Chain:
        self._chain = Chain(self._folder, self._head, self._vault.keys, self._retention, self._clock())
        return self._chain

    def _fail(self, exc: OSError) -> None:
        if self.problem is None:
            _log.error("audit: records are not durable: %s", exc)
        self.problem = f"audit: {exc}"
        if self._chain is not None:
            self._chain.close()
        self._chain = None

    def _tidy(self) -> None:
        now = self._clock()
        if not 0 <= now - self._tidied < TIDY_S and self._chain is not None:
            self._tidied = now
            try:
                self._chain.tidy(now)
                self._tidy_others()
            except OSError as exc:
                self._fail(exc)

    def _tidy_others(self) -> None:
        """Chains that nobody writes at the moment: what they left torn is told, what is due is retired."""
        for name in self._vault.chains():
            with contextlib.suppress(AuditError):
                if name != self.chain and (head := self._vault.claim(name)) is not None:
                    with contextlib.closing(head):
                        now = self._clock()
                        with contextlib.closing(
                            Chain(self._folder, head, self._vault.keys, self._retention, now)
                        ) as chain:
                            chain.tidy(now)


def _resolve(waiting: _Waiting, outcome: int | AuditError) -> None:
    future = waiting.acknowledge
    if future is not None and future.set_running_or_notify_cancel():
        if isinstance(outcome, int):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


def _claim(vault: Vault, folder: Path, role: str) -> Head:
    """A chain whose head is lost is left as it is: to continue it would hide that."""
    written = files.numbers(folder)
    for slot in itertools.islice(itertools.count(), SLOTS):
        chain = f"{role}-{slot}"
        if chain in written and not vault.knows(chain):
            continue
        try:
            head = vault.claim(chain)
        except AuditError as exc:
            _log.error("audit: %s", exc)
            continue
        if head is not None:
            return head
    raise AuditError(f"No audit chain is free for '{role}'.")

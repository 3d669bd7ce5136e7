"""The one writer of one chain: appends batches durably, starts new files, retires old ones.

A file is only ever appended to. A chain whose last file is not as it was left goes on in a new file, whose first record
tells why.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.audit import files
from gateway.audit.record import Entry, Event, sealed
from gateway.audit.redaction import redacted
from gateway.audit.vault import Head, Keys, State


class Retention(NamedTuple):
    """A file ends at `rotate_bytes` or after `rotate_s`; it goes `keep_s` after its last record, or when `keep_files`
    newer ones are there. Sizes in bytes, times in seconds.
    """

    rotate_bytes: int = 16 * 2**20
    rotate_s: float = 86_400.0
    keep_s: float = 90 * 86_400.0
    keep_files: int = 256


DEFAULT_RETENTION: Final = Retention()


class Chain:
    """Every method raises OSError; after that this object is of no use, and a new one resumes from the head."""

    def __init__(self, folder: Path, head: Head, keys: Keys, retention: Retention, now: float) -> None:
        self._folder, self._head, self._keys, self._retention = folder, head, keys, retention
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        reach = files.follow(folder, head.state, keys.chain, now)
        self._state = reach.state
        self._descriptor: int | None = None
        self._born: float | None = None
        try:
            if self._state.file and (not reach.told or self._unused()):
                self._continue()
            if reach.told:
                self.append(reach.told, now)
            elif self._state.file:
                self._settle(self._state)
        except OSError:
            self.close()
            raise

    @property
    def name(self) -> str:
        return self._state.chain

    @property
    def seq(self) -> int:
        """Of the last durable record."""
        return self._state.seq

    def append(self, entries: Sequence[Entry], now: float) -> int:
        """The sequence number of the last of them, all durable and covered by the head."""
        if self._descriptor is None or self._full(now):
            self._begin()
            self._retire(now)
        elif not self._untouched():
            broken = Entry(Event.BROKEN, now, files.broken(self._folder, self._state))
            self._begin()
            self._write([broken])
        self._write(entries)
        return self.seq

    def tidy(self, now: float) -> None:
        """Retire what is due, though nothing may have been recorded for long."""
        if self._descriptor is not None and self._born is not None and now - self._born >= self._retention.rotate_s:
            self._begin()
        self._retire(now)

    def close(self) -> None:
        """Closes the file; the head is its owner's to close."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def _file(self) -> str:
        return files.name_of(self.name, self._state.file)

    def _write(self, entries: Sequence[Entry]) -> None:
        assert self._descriptor is not None
        seq, prev, lines = self.seq, self._state.hash, []
        for entry in entries:
            seq += 1
            shown = entry._replace(fields=redacted(self._keys.names, entry.fields))
            line, prev = sealed(self._keys.chain, self.name, seq, prev, shown)
            lines.append(line)
        batch = memoryview(b"".join(lines))
        written = 0
        while written < len(batch):
            written += os.write(self._descriptor, batch[written:])
        self._born = entries[0].time if self._born is None else self._born
        self._settle(State(self.name, seq, prev, self._state.file, self._state.size + written))

    def _settle(self, state: State) -> None:
        """First the records, then the head: a head never tells of what may be lost."""
        assert self._descriptor is not None
        os.fdatasync(self._descriptor)
        if state != self._head.state:
            self._head.move(state)
        self._state = state

    def _full(self, now: float) -> bool:
        aged = self._born is not None and now - self._born >= self._retention.rotate_s
        return aged or self._state.size >= self._retention.rotate_bytes

    def _untouched(self) -> bool:
        """Whether the path still leads to the file that is being written, at the length it was left."""
        assert self._descriptor is not None
        try:
            seen = (self._folder / self._file).stat()
        except FileNotFoundError:
            return False
        return seen.st_size == self._state.size and seen.st_ino == os.fstat(self._descriptor).st_ino

    def _unused(self) -> bool:
        """Whether the last file is a new one that nothing could be written to: on a full disk each attempt would make another."""
        path = self._folder / self._file
        return self._state.size == 0 and path.exists() and path.stat().st_size == 0

    def _continue(self) -> None:
        path = self._folder / self._file
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        first = files.first_record(path, self.name, self._keys.chain)
        self._born = None if first is None else first.at

    def _begin(self) -> None:
        """A new file, durable itself; a number that is taken by something else is passed over."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        number = self._state.file + 1
        while (self._folder / files.name_of(self.name, number)).exists():
            number += 1
        path = self._folder / files.name_of(self.name, number)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        _sync(self._folder)
        self._state = State(self.name, self.seq, self._state.hash, number, 0)
        self._born = None

    def _retire(self, now: float) -> None:
        """The record that tells of it is durable before a file goes."""
        older = [n for n in files.numbers(self._folder).get(self.name, ()) if n < self._state.file]
        paths = {n: self._folder / files.name_of(self.name, n) for n in older}
        ends = [
            files.End(n, record.seq, record.at)
            for n, path in paths.items()
            if (record := files.last_record(path, self.name, self._keys.chain)) is not None
        ]
        last = files.retirable(ends, now - self._retention.keep_s, self._retention.keep_files)
        if last is None:
            return
        gone = [n for n in older if n <= last.number]
        told = Entry(Event.RETIRED, now, {"file": paths[last.number].name, "through": last.seq, "count": len(gone)})
        self._write([told])
        for number in gone:
            paths[number].unlink(missing_ok=True)
        _sync(self._folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

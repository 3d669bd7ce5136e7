"""The files of a chain: their names, and what a reader finds in them from a known point on."""

import hashlib
import hmac
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gateway.audit.record import Entry, Event, Fields, Record, unsealed
from gateway.audit.vault import State

_NAME: Final = re.compile(r"(?P<chain>.+)\.(?P<number>\d{6,9})\.jsonl")
LONGEST_LINE: Final = 256 * 1024
MOST_BEYOND_HEAD: Final = 64 * 2**20


def name_of(chain: str, number: int) -> str:
    return f"{chain}.{number:06d}.jsonl"


def numbers(folder: Path) -> dict[str, list[int]]:
    """Chain → the numbers of its files, ascending."""
    found: dict[str, list[int]] = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if (name := _NAME.fullmatch(path.name)) and path.name == name_of(name["chain"], int(name["number"])):
            found.setdefault(name["chain"], []).append(int(name["number"]))
    return {chain: sorted(mine) for chain, mine in found.items()}


def lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """(number from 1, the line without its end, whether it has one); of a line longer than any of ours, its beginning."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST_LINE):
            number += 1
            piece = raw
            while not piece.endswith(b"\n") and (piece := file.readline(LONGEST_LINE)):
                pass
            yield number, raw.removesuffix(b"\n"), piece.endswith(b"\n")


class Reach(NamedTuple):
    """How far a chain goes on beyond its head, and what its next records have to tell."""

    state: State
    told: list[Entry]


def follow(folder: Path, state: State, key: bytes, now: float) -> Reach:
    """Whole records beyond the head were written and never acknowledged: they count. A last line without its end is a
    torn write: it stays in its file for good, and is told by length and digest. Anything else is no crash's doing.
    """
    if state.file and not _stands(folder, state):
        return Reach(state, [Entry(Event.BROKEN, now, broken(folder, state))])
    torn: dict[str, Entry] = {}
    while True:
        name = name_of(state.chain, state.file)
        if state.file:
            with (folder / name).open("rb") as file:
                file.seek(state.size)
                tail = file.read(MOST_BEYOND_HEAD)
            records, whole = _continuation(tail, state, key)
            if records:
                state = State(state.chain, records[-1].seq, records[-1].hash, state.file, state.size + whole)
            for record in records:
                if record.event in (Event.REPAIRED, Event.BROKEN):
                    torn.pop(str(record.fields.get("file")), None)
            if rest := tail[whole:]:
                torn[name] = Entry(Event.REPAIRED, now, dict(torn_fields(key, name, rest)))
                if b"\n" in rest or len(rest) > LONGEST_LINE:
                    torn[name] = Entry(Event.BROKEN, now, broken(folder, state))
        if not (folder / name_of(state.chain, state.file + 1)).exists():
            return Reach(state, list(torn.values()))
        state = State(state.chain, state.seq, state.hash, state.file + 1, 0)


def torn_fields(key: bytes, name: str, rest: bytes) -> dict[str, str | int]:
    return {"file": name, "bytes": len(rest), "digest": hmac.digest(key, rest, hashlib.sha256).hex()}


def broken(folder: Path, state: State) -> Fields:
    """What is told of a file that is not as it was left: where it stood whole, and the length found."""
    path = folder / name_of(state.chain, state.file)
    found = path.stat().st_size if path.exists() else None
    return {"file": path.name, "through": state.seq, "bytes": state.size, "found": found}


def first_record(path: Path, chain: str, key: bytes) -> Record | None:
    with path.open("rb") as file:
        return unsealed(key, chain, file.readline(LONGEST_LINE)[:-1])


def last_record(path: Path, chain: str, key: bytes) -> Record | None:
    """The last whole record; None if there is none near the end."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINE))
        lines = file.read().split(b"\n")[:-1]
    return next((record for line in reversed(lines) if (record := unsealed(key, chain, line))), None)


class End(NamedTuple):
    """The last record of a file: its number in the chain and its time, in seconds since the epoch."""

    number: int
    seq: int
    at: float


def retirable(ends: Sequence[End], cutoff: float, keep_files: int) -> End | None:
    """The newest file to retire, with all before it, of the finished files in their order.

    A file goes if its last record is older than `cutoff`, or if `keep_files` finished ones come after it. Only files
    that end later in the chain than every file before them count. So nobody who lacks the secret can have evidence
    retired before its time, neither by a file's own time and size, nor by files added, nor by old records repeated.
    """
    real: list[End] = []
    for end in ends:
        if not real or end.seq > real[-1].seq:
            real.append(end)
    excess = real[: max(0, len(real) - keep_files)]
    return max((*excess, *(end for end in real if end.at < cutoff)), default=None)


def _continuation(tail: bytes, state: State, key: bytes) -> tuple[list[Record], int]:
    """The records that continue a chain, and the bytes they take."""
    records: list[Record] = []
    whole, seq, prev = 0, state.seq, state.hash
    for line in tail.split(b"\n")[:-1]:
        record = unsealed(key, state.chain, line)
        if record is None or record.seq != seq + 1 or record.prev != prev:
            break
        records.append(record)
        whole, seq, prev = whole + len(line) + 1, record.seq, record.hash
    return records, whole


def _stands(folder: Path, state: State) -> bool:
    """Whether the head's record still ends where the head says."""
    end = b'"hash":"%b"}\n' % state.hash.encode()
    try:
        with (folder / name_of(state.chain, state.file)).open("rb") as file:
            file.seek(max(0, state.size - len(end)))
            return file.read(len(end)) == end
    except FileNotFoundError:
        return False

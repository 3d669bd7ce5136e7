"""Whether the trail is whole: every record of every chain, in order, unchanged, and up to where its head reaches."""

from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from gateway.audit.files import lines, name_of, numbers, torn_fields
from gateway.audit.record import AuditError, Event, Fields, Record, unsealed
from gateway.audit.vault import State, Vault

TRIES: Final = 3


class Kind(StrEnum):
    CHANGED = "changed"
    REMOVED = "removed"
    MOVED = "moved"
    TRUNCATED = "truncated"
    HEADLESS = "headless"
    UNFINISHED = "unfinished"


class Finding(NamedTuple):
    """`line` counts from 1; 0 is the file as a whole. A file that is gone is named all the same."""

    file: str
    line: int
    kind: Kind
    detail: str

    @property
    def tampering(self) -> bool:
        """A write that a crash cut short is none: it was never acknowledged, and the next start tells of it."""
        return self.kind is not Kind.UNFINISHED

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}: {self.detail}"


class Report(NamedTuple):
    """`heads` maps each chain to its last record, (sequence number, hash): kept elsewhere, they witness the trail even
    against someone who has the secret.
    """

    findings: list[Finding]
    records: int
    heads: dict[str, tuple[int, str]]

    @property
    def whole(self) -> bool:
        return not any(finding.tampering for finding in self.findings)


def verify(folder: Path, vault: Path) -> Report:
    """Reads only, beside running writers too. Raises AuditError if there is no secret to check with, and OSError."""
    known = Vault(vault, create=False)
    report = Report([], 0, {})
    for chain in sorted({*known.chains(), *numbers(folder)}):
        found = _read(folder, chain, known)
        report = Report(report.findings + found.findings, report.records + found.records, report.heads | found.heads)
    return report


def _read(folder: Path, chain: str, vault: Vault, tries: int = TRIES) -> Report:
    try:
        return _Reading(folder, chain, vault).report()
    except FileNotFoundError:
        # Retired while it was being read.
        if tries == 1:
            raise
        return _read(folder, chain, vault, tries - 1)


class _Line(NamedTuple):
    file: str
    number: int


class _Gap(NamedTuple):
    """Records `first` to `last` do not stand before `line`; `strange` lines stand there."""

    line: _Line
    first: int
    last: int
    strange: list[_Line]


class _Reading:
    """One pass over one chain. The head is read first: what is written meanwhile lies beyond it."""

    def __init__(self, folder: Path, chain: str, vault: Vault) -> None:
        self._folder, self._chain, self._key = folder, chain, vault.keys.chain
        self._findings: list[Finding] = []
        head = self._read_head(vault)
        self._files = [name_of(chain, number) for number in numbers(folder).get(chain, ())]
        if head is None and self._files:
            detail = "the head of this chain is lost: whether records were taken from its end cannot be told"
            self._find(_Line(f"{chain}.head", 0), Kind.HEADLESS, detail)
        self._head = head or State(chain)
        self._last: Record | None = None
        self._records = 0
        self._gaps: list[_Gap] = []
        self._moved: set[int] = set()
        self._strange: list[_Line] = []
        self._since_last: list[_Line] = []
        self._torn: dict[_Line, dict[str, str | int]] = {}
        self._retired = 0
        self._repairs: list[Fields] = []

    def report(self) -> Report:
        end = _Line(name_of(self._chain, self._head.file), 0)
        for file in self._files:
            end = _Line(file, 0)
            for number, raw, ended in lines(self._folder / file):
                end = _Line(file, number)
                record = unsealed(self._key, self._chain, raw) if ended else None
                if record is not None:
                    self._known(end, record)
                    continue
                if not ended:
                    self._torn[end] = torn_fields(self._key, file, raw)
                self._unknown(end)
        self._conclude(end)
        last = self._last
        return Report(self._findings, self._records, {} if last is None else {self._chain: (last.seq, last.hash)})

    def _read_head(self, vault: Vault) -> State | None:
        try:
            return vault.state(self._chain)
        except AuditError:
            return None

    def _find(self, line: _Line, kind: Kind, detail: str) -> None:
        self._findings.append(Finding(line.file, line.number, kind, detail))

    def _unknown(self, line: _Line) -> None:
        self._strange.append(line)
        self._since_last.append(line)

    def _known(self, line: _Line, record: Record) -> None:
        self._records += 1
        seq, last = record.seq, self._last
        if last is not None and seq <= last.seq:
            self._moved.add(seq)
            self._find(line, Kind.MOVED, f"record {seq} stands after record {last.seq}")
            return
        expected = 1 if last is None else last.seq + 1
        if seq > expected:
            self._gaps.append(_Gap(line, expected, seq - 1, self._since_last))
        elif last is not None and record.prev != last.hash:
            self._find(line, Kind.CHANGED, f"record {seq} follows another record {last.seq} than the one before it")
        if seq == self._head.seq and record.hash != self._head.hash:
            self._find(line, Kind.CHANGED, f"this is not the record {seq} that was acknowledged")
        if record.event == Event.RETIRED and isinstance(through := record.fields.get("through"), int):
            self._retired = max(self._retired, through)
        if record.event == Event.REPAIRED:
            self._repairs.append(record.fields)
        self._last, self._since_last = record, []

    def _conclude(self, end: _Line) -> None:
        told = {line for line, torn in self._torn.items() if torn in self._repairs}
        seq = 0 if self._last is None else self._last.seq
        for gap in self._gaps:
            stood = sum(line not in told for line in gap.strange)
            # Files are retired from the beginning of a chain, never from its middle.
            first = max(gap.first, self._retired + 1) if gap.first == 1 else gap.first
            missing = [n for n in range(first + stood, gap.last + 1) if n not in self._moved]
            if missing:
                self._find(gap.line, Kind.REMOVED, f"{_records(missing)} should stand before this line")
        if seq < self._head.seq - sum(line not in told for line in self._since_last):
            detail = f"the chain ends with record {seq}, but record {self._head.seq} was acknowledged"
            self._find(end, Kind.TRUNCATED, detail)
        for line in self._strange:
            if line in told:
                continue
            if line in self._torn and line == end and seq >= self._head.seq:
                self._find(line, Kind.UNFINISHED, "a write was cut short here; nothing in it was acknowledged")
            else:
                self._find(line, Kind.CHANGED, "not a line that was written here as it stands")
        self._findings.sort()


def _records(missing: list[int]) -> str:
    span = f"record {missing[0]}" if len(missing) == 1 else f"records {missing[0]} to {missing[-1]}"
    return f"{len(missing)} missing: {span}" if len(missing) > 1 else span

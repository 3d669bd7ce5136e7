"""What one gateway tells the others of its keys and groups, and hears from them: sketches that merge, and standings of which the
highest counts until a release. Each writes rows of its own alone, so that nobody overwrites what another has found.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from gateway.guard.detector import Detector
from gateway.guard.packing import (
    Ledger,
    packed,
    packed_group,
    packed_ledger,
    unpacked,
    unpacked_group,
    unpacked_ledger,
)
from gateway.guard.profile import DAY_S
from gateway.guard.store import GuardStore, Row

DAY: Final = "day:"
LEDGER: Final = "key:"
GROUP: Final = "group:"
KEEP_DAYS: Final = 60
SWEEP_S: Final = 3600.0


class Sharing:
    """`writer` is this gateway's name in the store, new at each start; what an earlier one wrote is another's. Standings are
    written under its `slot`, which an earlier one had: they are kept for long, and whoever has read them all writes them merged.
    """

    def __init__(self, store: GuardStore, detector: Detector, writer: str, slot: str | None = None) -> None:
        self._store, self._detector, self._writer, self.slot = store, detector, writer, slot or writer
        self._mark: int | None = None
        self._swept = 0.0

    def outgoing(self) -> Iterator[Row]:
        """What has changed here since the last time."""
        for key in self._detector.changed():
            record = self._detector.records.get(key)
            if record is None:
                continue
            day = record.profile.day
            ledger = packed_ledger(self._detector.ledger(key))
            yield Row(DAY + key, self._writer, day, packed(record.profile))
            yield Row(LEDGER + key, self.slot, day + KEEP_DAYS, ledger)
        for template, group in self._detector.groups.news():
            yield Row(f"{GROUP}{template:016x}", self._writer, group.day, packed_group(group))

    def write(self, rows: Iterable[Row]) -> None:
        if listed := list(rows):
            self._store.write(listed)

    @property
    def begun(self) -> bool:
        """Whether all that was there has been read once."""
        return self._mark is not None

    def read(self) -> list[Row]:
        own = {self._writer, self.slot} if self.begun else {self._writer}
        rows, self._mark = self._store.read(self._mark or 0)
        return [row for row in rows if row.writer not in own]

    def take(self, rows: Iterable[Row], now: float) -> list[str]:
        """The keys about which another gateway knew more."""
        today = int(now // DAY_S)
        news = []
        # Sketches are merged into keys that are known, and a standing makes one known.
        for row in sorted(rows, key=lambda row: not row.subject.startswith(LEDGER)):
            if row.subject.startswith(LEDGER):
                ledger: Ledger = unpacked_ledger(row.blob)
                if self._detector.learn(row.subject.removeprefix(LEDGER), ledger, now):
                    news.append(row.subject.removeprefix(LEDGER))
            elif row.subject.startswith(DAY) and row.day >= today - 1 and (profile := unpacked(row.blob)) is not None:
                self._detector.merge(row.subject.removeprefix(DAY), row.writer, profile)
            elif row.subject.startswith(GROUP) and row.day >= today and (group := unpacked_group(row.blob)) is not None:
                self._detector.groups.learn(int(row.subject.removeprefix(GROUP), 16), row.writer, group)
        if not 0 <= now - self._swept < SWEEP_S:
            self._swept = now
            self._store.sweep(today - 1)
        return news

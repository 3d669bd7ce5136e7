"""A trail in a temporary folder, written by a clock that the test moves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.chain import DEFAULT_RETENTION, Retention
from gateway.audit.log import AuditLog, Pace
from gateway.audit.record import Event
from gateway.audit.verify import Report, verify

DAY = 86_400.0
ANY_PACE = Pace(burst=1e9)


@dataclass
class Trail:
    root: Path
    now: float = 1_800_000_000.0
    retention: Retention = DEFAULT_RETENTION
    capacity: int = 10_000
    pace: Pace = ANY_PACE
    logs: list[AuditLog] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "audit"

    @property
    def vault(self) -> Path:
        return self.root / "vault"

    def open(self, role: str = "gateway") -> AuditLog:
        log = AuditLog.open(
            self.folder,
            role,
            self.vault,
            retention=self.retention,
            capacity=self.capacity,
            pace=self.pace,
            clock=lambda: self.now,
        )
        self.logs.append(log)
        return log

    def write(self, *counts: int, role: str = "gateway") -> None:
        """One record and one commit for each count, by a log that is opened and closed for it."""
        with self.open(role) as log:
            for count in counts:
                log.submit(Event.REQUEST_REFUSED, count=count).result(10)

    def verify(self) -> Report:
        return verify(self.folder, self.vault)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())

    def records(self) -> list[dict[str, Any]]:
        """Every finished line that parses, in the order of the files."""
        found = []
        for path in self.files():
            for line in path.read_bytes().split(b"\n")[:-1]:
                try:
                    found.append(json.loads(line))
                except ValueError:
                    continue
        return found

    def events(self) -> list[str]:
        return [record["event"] for record in self.records()]

    def counts(self) -> list[int]:
        return [r["fields"]["count"] for r in self.records() if r["event"] == Event.REQUEST_REFUSED]


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    for log in made.logs:
        log.close()

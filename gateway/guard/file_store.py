"""The guard's state in one SQLite file of the state directory: durable, and shared by all gateways of a node."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.guard.leaks import Charge
from gateway.guard.store import GuardStoreUnavailable, Row

BUSY_S: Final = 2.0
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meters (name TEXT PRIMARY KEY, scalars INTEGER NOT NULL, answers INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS settings (meter TEXT NOT NULL, setting TEXT NOT NULL, PRIMARY KEY (meter, setting));
CREATE TABLE IF NOT EXISTS marks (one INTEGER PRIMARY KEY CHECK (one = 1), mark INTEGER NOT NULL);
INSERT OR IGNORE INTO marks VALUES (1, 0);
CREATE TABLE IF NOT EXISTS rows (
    subject TEXT NOT NULL, writer TEXT NOT NULL, day INTEGER NOT NULL, mark INTEGER NOT NULL, blob BLOB NOT NULL,
    PRIMARY KEY (subject, writer)
);
CREATE INDEX IF NOT EXISTS by_mark ON rows (mark);
"""


class FileStore:
    """See GuardStore. A charge is on the disk before it is granted."""

    durable = True

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
        except sqlite3.Error as exc:
            raise GuardStoreUnavailable(f"The guard's state in {path} cannot be opened: {exc}") from exc

    def reserve(self, meter: str, charge: Charge, limit: Charge, others: Sequence[str] = ()) -> bool:
        with self._step() as db:
            held = [0, 0]
            for name in (meter, *others):
                one = db.execute("SELECT scalars, answers FROM meters WHERE name = ?", (name,)).fetchone() or (0, 0)
                held = [held[0] + one[0], held[1] + one[1]]
            for used, more, most in zip(held, charge, limit, strict=True):
                if more and used + more > most:
                    return False
            db.execute(
                "INSERT INTO meters VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
                " SET scalars = scalars + excluded.scalars, answers = answers + excluded.answers",
                (meter, *charge),
            )
            return True

    def inherit(self, meter: str, former: str) -> None:
        with self._step() as db:
            db.execute(
                "INSERT OR IGNORE INTO meters SELECT ?, scalars, answers FROM meters WHERE name = ?", (meter, former)
            )

    def give_back(self, meter: str, charge: Charge) -> None:
        with self._step() as db:
            db.execute(
                "UPDATE meters SET scalars = max(0, scalars - ?), answers = max(0, answers - ?) WHERE name = ?",
                (*charge, meter),
            )

    def settings(self, meter: str, setting: str, most: int) -> frozenset[str]:
        with self._step() as db:
            found = {name for (name,) in db.execute("SELECT setting FROM settings WHERE meter = ?", (meter,))}
            if setting not in found and len(found) < most:
                db.execute("INSERT INTO settings VALUES (?, ?)", (meter, setting))
                found.add(setting)
        return frozenset(found)

    def meters(self) -> dict[str, Charge]:
        with self._step() as db:
            return {name: Charge(*rest) for name, *rest in db.execute("SELECT name, scalars, answers FROM meters")}

    def write(self, rows: Sequence[Row]) -> None:
        with self._step() as db:
            mark = db.execute("UPDATE marks SET mark = mark + 1 RETURNING mark").fetchone()[0]
            db.executemany(
                "INSERT OR REPLACE INTO rows (subject, writer, day, blob, mark) VALUES (?, ?, ?, ?, ?)",
                [(*row, mark) for row in rows],
            )

    def read(self, since: int) -> tuple[list[Row], int]:
        with self._step() as db:
            found = db.execute("SELECT subject, writer, day, blob, mark FROM rows WHERE mark > ?", (since,)).fetchall()
        return [Row(*row[:4]) for row in found], max((row[4] for row in found), default=since)

    def sweep(self, before_day: int) -> None:
        with self._step() as db:
            db.execute("DELETE FROM rows WHERE day < ?", (before_day,))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _step(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the file's write lock from its beginning."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                finally:
                    self._db.execute("COMMIT")
            except sqlite3.Error as exc:
                raise GuardStoreUnavailable(f"{type(exc).__name__}: {exc}") from exc

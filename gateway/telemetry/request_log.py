"""One line of JSON for each request. No prompt, no key, no address; a key's id, which is no secret, tells whose it was."""

import asyncio
import fcntl
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from gateway.telemetry.record import RequestRecord

MOST_BYTES: Final = 64 * 2**20
KEPT_FILES: Final = 4
BUFFER: Final = 1 << 16
FLUSH_S: Final = 0.2


class LineFile:
    """Lines appended to a file that several processes write, and that begins anew once it is `most` bytes long: each write is
    whole lines at its end. Lines wait in memory for `FLUSH_S`, or until there are many.
    """

    def __init__(self, path: Path | None, most: int = MOST_BYTES) -> None:
        """None: standard output."""
        self._path = path
        self._most = most
        self._lines: list[str] = []
        self._size = 0
        self._file = sys.stdout.fileno() if path is None else self._open(path)

    def msg(self, line: str) -> None:
        """As structlog calls its logger."""
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= BUFFER:
            self.flush()

    info = msg

    def flush(self) -> None:
        if not self._lines:
            return
        whole = ("\n".join(self._lines) + "\n").encode()
        self._lines, self._size = [], 0
        if self._path is not None:
            self._turn_over(self._path)
        os.write(self._file, whole)

    def close(self) -> None:
        self.flush()
        if self._path is not None:
            os.close(self._file)

    def _turn_over(self, path: Path) -> None:
        """Whoever finds the file long enough renames it; the others notice that theirs is not the one of that name any more."""
        if os.fstat(self._file).st_size >= self._most:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if _is_at(self._file, path):
                for number in range(KEPT_FILES, 0, -1):
                    older = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
                    if older.exists():
                        older.rename(path.with_name(f"{path.name}.{number}"))
        if not _is_at(self._file, path):
            os.close(self._file)
            self._file = self._open(path)

    @staticmethod
    def _open(path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


class RequestLog:
    """`write` costs some ten microseconds and no system call."""

    def __init__(self, lines: LineFile, now: Callable[[], float] = time.time) -> None:
        self.lines = lines
        self._now = now
        self._log: Any = structlog.wrap_logger(
            lines,
            processors=[structlog.processors.JSONRenderer(serializer=_json)],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        ).bind()

    def write(self, record: RequestRecord, *, kept: bool) -> None:
        told: dict[str, Any] = {
            "time": round(self._now(), 3),
            "request_id": record.request_id,
            "trace_id": record.trace_id,
            "traced": kept,
            "method": record.method,
            "route": record.path,
            "status": record.status,
            "outcome": record.outcome.value,
            "seconds": round(record.seconds, 4),
        }
        for name in ("error", "guard", "tenant", "key", "tier", "priority", "model"):
            if value := getattr(record, name):
                told[name] = value
        if record.legs:
            first, prompt, cached, completion, failovers = record.totals
            told |= {
                "first_token_s": None if first is None else round(first - record.begun, 4),
                "prompt_tokens": prompt,
                "cached_tokens": cached,
                "completion_tokens": completion,
                "engines": [leg.engine for leg in record.legs],
                "failovers": failovers,
            }
        self._log.info("request", **told)


def _json(told: dict[str, Any], **_more: Any) -> str:
    return msgspec.json.encode(told).decode()


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False

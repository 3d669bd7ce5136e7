"""The file in which the policy says what it decided and why: one for each model, replaced as a whole."""

import contextlib
import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from deployments.autoscaling.observation import Decision, Observation

EVERY_S = 2.0
KEPT = 20


class Record:
    """A folder that cannot be written to costs the record, never the decision."""

    def __init__(self, folder: str, model: str) -> None:
        self._file = Path(folder) / _name(model)
        self._model = model
        self._changes: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._counts = {"up": 0, "down": 0}
        self._given: dict[str, Counter[str]] = {}
        self._written_at = 0.0

    @property
    def is_first(self) -> bool:
        """Nothing was ever written of this model."""
        return not self._file.exists()

    def measured_startup_s(self) -> float | None:
        """As an earlier policy of this model wrote it down; None: it had measured none, or it cannot be read."""
        try:
            return float(json.loads(self._file.read_text())["measured_startup_s"]) or None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def changed(self, now: float, was: int, to: int, reasons: Sequence[str]) -> None:
        """Written down with the next `note`."""
        direction = "up" if to > was else "down"
        self._counts[direction] += 1
        self._count(direction, reasons)
        self._changes.append({"at": now, "from": was, "to": to, "reasons": list(reasons)})
        self._written_at = 0.0

    def _count(self, direction: str, reasons: Sequence[str]) -> None:
        self._given.setdefault(direction, Counter()).update({reason.partition(":")[0] for reason in reasons})

    def note(self, now: float, seen: Observation, decision: Decision) -> None:
        """Now if something changed, else every few seconds."""
        if decision.target == seen.target:
            self._count("none", decision.reasons)
        if 0 <= now - self._written_at < EVERY_S:
            return
        self._written_at = now
        content = {
            "model": self._model,
            "at": now,
            "ready": seen.ready,
            "target": decision.target,
            "needed": round(decision.needed, 3),
            "backlog_s": round(decision.backlog_s, 3),
            "startup_s": round(decision.startup_s, 3),
            "measured_startup_s": decision.state.startup_s,
            "reasons": list(decision.reasons),
            "decisions": self._counts,
            "reasons_given": self._given,
            "changes": list(self._changes),
        }
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft = self._file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps(content))
            draft.replace(self._file)


def keep(folder: Path, models: Iterable[str]) -> None:
    """Remove what is told of models that are not scaled any more."""
    kept = {_name(model) for model in models}
    for file in folder.glob("*.json"):
        if file.name not in kept:
            file.unlink(missing_ok=True)


def _name(model: str) -> str:
    """A file of its own for each name, whatever is in it."""
    return quote(model, safe="") + ".json"

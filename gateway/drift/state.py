"""Drift's state on disk: one file for each gateway of a state directory, and for each model the best of all is taken up at a start.

Arrays of numbers only; read without pickle. A file that cannot be read is no state.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from gateway.drift.features import SAMPLE
from gateway.drift.monitor import Monitor, Rules, Window

FORMAT: Final = 1
SLOTS: Final = 64
MOST_ERROR: Final = 200
"""Characters: one about a damaged zip holds all of it."""

log = structlog.get_logger(__name__)


class StateFile:
    """`<folder>/<n>.npz`, where n is the first that no other gateway holds; released by `close`, or by the process's end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self._path: Path | None = None
        self._lock = -1
        for number in range(SLOTS):
            lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            self._path, self._lock = folder / f"{number}.npz", lock
            return

    def save(self, monitors: Mapping[str, Monitor]) -> None:
        """Replaces the file as a whole. Raises OSError."""
        if self._path is None:
            return
        arrays: dict[str, Any] = {}
        models = {}
        for place, (model, monitor) in enumerate(monitors.items()):
            reference, windows = monitor.reference, list(monitor.windows.items())
            arrays[f"{place}"], arrays[f"{place}.seen"] = reference.rows, reference.seen
            for number, (_, window) in enumerate(windows):
                arrays[f"{place}.{number}"] = window.rows
            models[model] = {
                "season": list(reference.season),
                "begun": reference.begun,
                "version": reference.version,
                "relearned": monitor.relearned,
                "windows": [[version, window.taken, sorted(window.alerts)] for version, window in windows],
            }
        head = json.dumps({"format": FORMAT, "models": models}).encode()
        draft = self._path.with_suffix(".new")
        with draft.open("wb") as file:
            np.savez_compressed(file, head=np.frombuffer(head, dtype=np.uint8), **arrays)
        draft.replace(self._path)

    def load(self, rules: Rules, rng: np.random.Generator) -> dict[str, Monitor]:
        """Monitors by model, without those learned under another season: of those that were told last to forget, the one whose
        reference holds most, or else was saved last. So a gateway that has had no traffic takes nothing from one that has.
        """
        best: dict[str, Monitor] = {}
        for path in sorted(self._folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns):
            try:
                found = _read(path, rules, rng)
            except Exception as exc:  # noqa: BLE001 - what zip, deflate and numpy raise for damage is no closed list
                log.warning("drift_state_unreadable", file=path.name, error=f"{type(exc).__name__}: {exc}"[:MOST_ERROR])
                continue
            for model, monitor in found.items():
                if model not in best or _worth(monitor) >= _worth(best[model]):
                    best[model] = monitor
        return best

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _worth(monitor: Monitor) -> tuple[float, int]:
    return monitor.relearned, int(np.minimum(monitor.reference.seen, monitor.reference.season.size).sum())


def _read(path: Path, rules: Rules, rng: np.random.Generator) -> dict[str, Monitor]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        head: dict[str, Any] = json.loads(arrays["head"].tobytes())
        if head["format"] != FORMAT:
            raise ValueError(f"format {head['format']}, this program reads {FORMAT}")
        found = {}
        for place, (model, kept) in enumerate(head["models"].items()):
            if tuple(kept["season"]) != rules.season:
                log.warning("drift_relearns", model=model, reason="its settings have changed")
                continue
            monitor = found[model] = Monitor(rules, rng)
            monitor.relearned = kept.get("relearned", 0.0)
            monitor.reference.begun, monitor.reference.version = kept["begun"], kept["version"]
            monitor.reference.rows[...] = arrays[f"{place}"]
            monitor.reference.seen[...] = arrays[f"{place}.seen"]
            for number, (version, taken, alerts) in enumerate(kept["windows"]):
                monitor.windows[version] = _window(arrays[f"{place}.{number}"], taken, alerts, rules.window)
        return found


def _window(rows: np.ndarray[tuple[int], Any], taken: int, alerts: list[str], size: int) -> Window:
    """In the order of arrival, so that it fits a ring of another size too."""
    window = Window(size)
    there = rows[: min(taken, len(rows))]
    for row in there[np.argsort(there["at"], kind="stable")][-size:]:
        window.add(np.array([row], dtype=SAMPLE))
    window.alerts.update(alerts)
    return window

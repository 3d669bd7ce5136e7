"""What a running `sluice up` leaves in its state directory for `status` and `down`: run.json, gone when it has stopped."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil


@dataclass
class RunState:
    """`started` is the supervisor's process start time, so that a reused pid is not taken for it; `reload_error` is how the last
    of `reloads` went.
    """

    pid: int
    started: float
    config: str
    url: str
    dashboard: str
    haproxy: str = ""
    management: list[str] = field(default_factory=list)
    reloads: int = 0
    reload_error: str = ""

    @classmethod
    def file(cls, state_dir: Path) -> Path:
        return state_dir / "run.json"

    @classmethod
    def read(cls, state_dir: Path) -> "RunState | None":
        """None if nothing was started, or what was started is gone."""
        try:
            state = cls(**json.loads(cls.file(state_dir).read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return state if state.alive else None

    @property
    def alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def write(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.file(state_dir).with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.replace(self.file(state_dir))

    @classmethod
    def remove(cls, state_dir: Path) -> None:
        cls.file(state_dir).unlink(missing_ok=True)

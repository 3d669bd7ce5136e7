"""What a running `sluice up` leaves in its state directory for `status` and `down`: run.json, gone when it has stopped."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deployments import processes


@dataclass
class RunState:
    """`started` is the supervisor's `birth`, so that a reused pid is not taken for it. Of `reloads_begun`, `reloads` are over, and
    `reload_error` is how the last of those went. `unhealthy` is what Serve says of deployments that are, by name.
    """

    pid: int
    started: str | None
    config: str
    url: str
    dashboard: str
    haproxy: str = ""
    management: list[str] = field(default_factory=list)
    unhealthy: dict[str, str] = field(default_factory=dict)
    reloads_begun: int = 0
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
        return self.started is not None and processes.birth(self.pid) == self.started

    def write(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.file(state_dir).with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(asdict(self), indent=1))
        draft.replace(self.file(state_dir))

    @classmethod
    def remove(cls, state_dir: Path) -> None:
        cls.file(state_dir).unlink(missing_ok=True)

"""Names under which gateways of a node write, each held by one process at a time and taken over by the next."""

import fcntl
import itertools
import os
import platform
from pathlib import Path


class Slot:
    """Held until it is closed, or its process ends."""

    def __init__(self, folder: Path) -> None:
        """The first that is free. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number in itertools.count():
            self._descriptor = os.open(folder / f"guard-slot-{number}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                continue
            self.name = f"{platform.node()}-{number}"
            return

    def close(self) -> None:
        os.close(self._descriptor)

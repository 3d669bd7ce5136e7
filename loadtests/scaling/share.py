"""Gives each engine core a share of a processor core, so that three of them scale on a machine with two, as on slower accelerators.

`python -m loadtests.scaling.share 0.25` reads lines of process ids, each line those to be held from then on. Who has used more CPU
time than its share is stopped until it has not; nobody is left stopped when the lines end.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Self

from loadtests.processes import cpu_ns

EVERY_S = 0.004
CREDIT_S = 0.01
"""CPU time that may be saved up while there is nothing to do."""


class Shares:
    """The holder, as a process of its own: a busy event loop must not stretch anybody's share."""

    def __init__(self, share: float) -> None:
        self._command = [sys.executable, "-m", "loadtests.scaling.share", str(share)]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, text=True)
        return self

    def hold(self, pids: Iterable[int]) -> None:
        """These from now on, and nobody else."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, sorted(pids))) + "\n")
        self._process.stdin.flush()

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class Held:
    """Raises OSError once the process is gone."""

    def __init__(self, pid: int, share: float) -> None:
        self._pid, self._share = pid, share
        self._used, self._at = cpu_ns(pid), time.monotonic()
        self._credit = CREDIT_S
        self._stopped = False

    def look(self) -> None:
        used, at = cpu_ns(self._pid), time.monotonic()
        earned = self._share * (at - self._at) - (used - self._used) / 1e9
        self._credit = min(CREDIT_S, self._credit + earned)
        self._used, self._at = used, at
        if self._stopped is not (self._credit < 0):
            self._stopped = not self._stopped
            os.kill(self._pid, signal.SIGSTOP if self._stopped else signal.SIGCONT)

    def let_go(self) -> None:
        if self._stopped:
            os.kill(self._pid, signal.SIGCONT)


def main() -> None:
    share, held = float(sys.argv[1]), dict[int, Held]()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rest = b""
    try:
        while True:
            if select.select([0], [], [], EVERY_S)[0]:
                if not (read := os.read(0, 4096)):
                    return
                *lines, rest = (rest + read).split(b"\n")
                if lines:
                    _change(held, {int(word) for word in lines[-1].split()}, share)
            for pid, one in list(held.items()):
                try:
                    one.look()
                except OSError:
                    del held[pid]
    finally:
        _change(held, set(), share)


def _change(held: dict[int, Held], wanted: set[int], share: float) -> None:
    for pid in held.keys() - wanted:
        with contextlib.suppress(OSError):
            held.pop(pid).let_go()
    for pid in wanted - held.keys():
        with contextlib.suppress(OSError):
            held[pid] = Held(pid, share)


if __name__ == "__main__":
    main()

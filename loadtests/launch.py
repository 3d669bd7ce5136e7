"""Starts a server below us, waits until it answers, and leaves nothing of it behind."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from loadtests.processes import MARK, family

STOP_S = 60.0


class NotStartedError(RuntimeError):
    """A server ended, or did not answer in time; the end of its log is in the message."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Launched:
    """A running server process with everything it starts. Its output goes to `log`."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._mark = uuid.uuid4().hex
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **env, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def pids(self) -> list[int]:
        return family(self._process.pid, self._mark)

    def signal(self, number: signal.Signals) -> None:
        """To every process of it."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait_ready(self, urls: Sequence[str], timeout_s: float) -> None:
        """Until every URL answers 200."""
        deadline = time.monotonic() + timeout_s
        waiting = list(urls)
        while waiting:
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
                raise NotStartedError(f"{waiting[0]} never answered:\n{tail}")
            if answers(waiting[0]):
                waiting.pop(0)
            else:
                time.sleep(0.25)

    def stop(self) -> None:
        """SIGTERM, patience, then SIGKILL for whatever is left."""
        self.signal(signal.SIGCONT)
        left = [psutil.Process(pid) for pid in self.pids() if psutil.pid_exists(pid)]
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _, alive = psutil.wait_procs(left, timeout=3)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310  our own http:// address
            return int(reply.status) == 200
    except (urllib.error.URLError, OSError):
        return False

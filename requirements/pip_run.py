"""Run pip in a virtual environment with one line of progress in place of its own output.

Standard library only, syntax of Python 3.7. Nothing here chooses an index: pip reads the user's configuration.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FETCHED = re.compile(r"^\s*(Collecting|Requirement already satisfied:) ")
INSTALLING = "Installing collected packages:"
LINES_SHOWN_ON_FAILURE = 8
CHARACTERS_SHOWN = 300
SECONDS_BETWEEN_LINES = 10.0
SECONDS_TO_STOP = 10.0


class Failed(Exception):
    """An install step failed; the message is one plain sentence, `log` the last of what pip said."""

    def __init__(self, sentence: str, log: str = "") -> None:
        super().__init__(sentence)
        self.log = log


class Watched:
    """What pip has said so far: how many packages it holds, and its last lines."""

    def __init__(self) -> None:
        self.fetched = 0
        self.installing = False
        self.last: deque[str] = deque(maxlen=LINES_SHOWN_ON_FAILURE)

    def follow(self, output: IO[str]) -> None:
        """Read to the end; runs in a thread of its own."""
        for line in output:
            self.fetched += bool(FETCHED.match(line))
            self.installing = self.installing or line.startswith(INSTALLING)
            if line.strip() and not line.startswith("WARNING"):
                self.last.append(line.rstrip()[:CHARACTERS_SHOWN])


class Progress:
    """One updating line on a terminal, a line every ten seconds elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet
        self.live = sys.stdout.isatty()
        self.started = time.monotonic()
        self.shown = self.started

    def show(self, text: str, last: bool = False) -> None:
        now = time.monotonic()
        due = last or now - self.shown >= SECONDS_BETWEEN_LINES
        if self.quiet or not (self.live or due):
            return
        self.shown = now
        line = f"{text}, {now - self.started:.0f} s"
        if self.live:
            print(f"\r\033[K{line}", end="\n" if last else "", flush=True)
        else:
            print(line, flush=True)

    def say(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)


def pip_install(venv: Path, arguments: list[str], total: int, progress: Progress, lock: int) -> None:
    """`pip install` of `total` packages. Raises Failed; whatever ends us early ends pip first.

    pip keeps `lock`, an open file, so that a pip that outlives a killed installer still holds the next one back.
    """
    command = [str(venv / "bin" / "python"), "-I", "-m", "pip", "install", "--no-deps", "--no-input", "--no-compile"]
    # Its own session: a Ctrl-C reaches pip once, from us, and pip puts back what it was replacing.
    process = subprocess.Popen(
        [*command, "--progress-bar", "off", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", start_new_session=True, pass_fds=[lock],
    )  # fmt: skip
    watched = Watched()
    reader = threading.Thread(target=watched.follow, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        while process.poll() is None:
            progress.show(_state(watched, venv, total))
            time.sleep(0.3)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
    reader.join()
    if process.returncode:
        raise Failed(explanation(list(watched.last)), "\n".join(watched.last))


def byte_compile(venv: Path, progress: Progress, lock: int) -> None:
    """Bytecode of every installed package, as many at once as there are processor cores: pip would make it on one.

    What cannot be compiled is left. Raises Failed if a signal ends a compiler; an installer that is killed leaves those that run to
    end by themselves, and they keep `lock` as pip does.
    """
    python = str(venv / "bin" / "python")
    found = [path for path in venv.glob("lib/python3*/site-packages/*") if path.suffix not in (".dist-info", ".pth")]
    parts = sorted(found, key=lambda path: sum(1 for _ in path.rglob("*.py")) if path.is_dir() else 1)
    total = len(parts)
    running: list[subprocess.Popen[bytes]] = []
    try:
        while parts or running:
            while parts and len(running) < (os.cpu_count() or 1):
                command = [python, "-I", "-S", "-m", "compileall", "-qq", str(parts.pop())]
                running.append(
                    subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                        pass_fds=[lock],
                    )
                )  # fmt: skip
            time.sleep(0.02)
            ended = [one.returncode for one in running if one.poll() is not None]
            if ended and min(ended) < 0:
                raise Failed(f"Compiling was stopped by signal {-min(ended)}: run this again.")
            running = [one for one in running if one.returncode is None]
            progress.show(f"Compiling: {total - len(parts) - len(running)}/{total} packages")
    finally:
        for one in running:
            one.kill()
            one.wait()


def _state(watched: Watched, venv: Path, total: int) -> str:
    if watched.installing:
        here = sum(1 for _ in venv.glob("lib/python3*/site-packages/*.dist-info"))
        return f"Installing: {min(here, total)}/{total} packages"
    return f"Fetching: {min(watched.fetched, total)}/{total} packages"


def explanation(lines: list[str]) -> str:
    """Why pip failed, as far as its last lines tell, and what to do."""
    text = "\n".join(lines)
    missing = re.search(r"No matching distribution found for (\S+)", text)
    if missing and missing.group(1).startswith("torch==") and missing.group(1).endswith("+cpu"):
        return (
            f"Your package index does not hold PyTorch's CPU build ({missing.group(1)}): point pip at PyTorch's CPU "
            'wheels with PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS (PyTorch\'s "Get started" page names the address) '
            "and run this again."
        )
    if missing:
        return (
            f"Your package index does not hold {missing.group(1)} for this Python: check pip's configuration "
            "(pip config list) or its network, and run this again."
        )
    if "No space left on device" in text:
        return "The disk filled up: make room and run this again; what is already installed is kept."
    return "pip could not finish (its last words are above): when that is put right, run this again."

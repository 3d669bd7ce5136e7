"""Keeps the terminal for what a person wants to read: what Ray and vLLM print goes to a log file meanwhile."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from gateway.plain_console import LastingConsole, plain_console


@contextlib.contextmanager
def terminal_for_us(log_file: Path) -> Iterator[Console]:
    """Within: descriptors 1 and 2, also of processes started here, lead to the file; the console still to the terminal, for as long
    as there is one. Only for who has the state directory to themselves: a log that says anything is moved to `.1` first.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if log_file.exists() and log_file.stat().st_size:
        log_file.replace(f"{log_file}.1")
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        ours = os.fdopen(os.dup(saved[0]), "w", buffering=1)
        try:
            yield plain_console(ours, kind=LastingConsole)
        finally:
            with contextlib.suppress(OSError):
                ours.close()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, descriptor in enumerate(saved, start=1):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(log)

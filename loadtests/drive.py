"""Starts a load generator process, and takes a reading just before and just after its load."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.load import Job, Load
from loadtests.processes import pin

Reading = TypeVar("Reading")
ROOT = Path(__file__).resolve().parents[1]


class LoadFailedError(RuntimeError):
    """The generator gave no answer; its own words are on stderr."""


def drive(job: Job, read: Callable[[], Reading], cpus: Iterable[int] | None = None) -> tuple[Load, Reading, Reading]:
    """Blocks until the load is over. The generator's start and its reading of the results lie outside the two readings."""
    with tempfile.NamedTemporaryFile(suffix=".json") as answer:
        command = [sys.executable, "-m", "loadtests.generator", answer.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != b"ready\n":
                raise LoadFailedError("the load generator could not connect")
            if cpus is not None:
                pin(process.pid, cpus)
            before = read()
            process.stdin.write(b"go\n")
            process.stdin.flush()
            over = process.stdout.readline()
            after = read()
        if over != b"over\n" or process.returncode != 0:
            raise LoadFailedError(f"the load generator ended with status {process.returncode}")
        return msgspec.json.decode(Path(answer.name).read_bytes(), type=Load), before, after

"""Fixtures of the suite's tests: the toy server, and Locust started against it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.drive import ROOT
from tests.loadtests.toy_chat import Toy, serving

FILE = ROOT / "loadtests" / "locustfile.py"


@pytest.fixture
def toy() -> Iterator[Toy]:
    with serving() as server:
        yield server


@pytest.fixture
def started(tmp_path: Path):
    """Starts `locust` with its output in a file; whatever is left of it is ended."""
    running: list[subprocess.Popen[bytes]] = []

    def start(toy: Toy, *options: str, name: str = "out") -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "locust",
            "-f",
            str(FILE),
            "--served-model",
            "toy",
            "--host",
            toy.url,
            *options,
        ]
        with (tmp_path / f"{name}.log").open("wb") as log:
            running.append(
                subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=tmp_path,
                    env=os.environ | {"PYTHONPATH": str(ROOT), "SLUICE_KEY": "sk-secret", "COLUMNS": "180"},
                )
            )  # fmt: skip
        return running[-1]

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture
def two_workers(started):
    """Starts a master, whose options these are, and two workers: `(master, workers)`."""

    def start(toy: Toy, *options: str) -> tuple[subprocess.Popen[bytes], list[subprocess.Popen[bytes]]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        first = ("--master", "--headless", "--expect-workers", "2", "--master-bind-port", port)
        master = started(toy, *first, *options)
        return master, [started(toy, "--worker", "--master-port", port, name=f"worker-{n}") for n in range(2)]

    return start

"""A core's process that was started before there was work for it: it gets what a new one gets, and never outlives its replica."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from gateway.pool.early_core import EarlyCore
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]


@contextmanager
def replica(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.gateway.pool.early_host", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def told(by: subprocess.Popen[str]) -> list[str]:
    assert by.stdout is not None
    return by.stdout.readline().split()


def test_a_core_begun_early_has_the_environment_of_its_start_and_dies_with_its_replica():
    with replica() as host:
        core, parent, later, given = told(host)
        assert (int(parent), later, given) == (host.pid, "seen", "work")
        process = psutil.Process(int(core))
        host.kill()
        host.wait()
        eventually(lambda: not process.is_running(), 5, "the core is gone")


def test_a_core_that_got_no_work_does_not_keep_its_replica_from_ending():
    with replica("--idle") as host:
        (core,) = told(host)
        assert host.wait(20) == 0
        assert not psutil.pid_exists(int(core))


def test_a_core_ends_when_its_replica_fails_before_it_has_work_for_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LD_PRELOAD", "")
    with pytest.raises(ValueError, match="no such format"), EarlyCore.begin(loaded=()) as core:
        raise ValueError("no such format")
    core.join(20)
    assert core.exitcode == 0


def test_a_core_that_could_not_load_is_told_when_it_is_to_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LD_PRELOAD", "")
    core = EarlyCore.begin(loaded=("gateway.no_such_module",))
    core.join(20)
    assert core.exitcode == 1
    with pytest.raises(OSError, match="Broken pipe"):
        core.process(target=print, name="EngineCore", kwargs={}).start()

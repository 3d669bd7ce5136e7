"""What `sluice up` writes to: a terminal that may go away, and a log that only one of them has."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.preflight import StartError, alone
from deployments.terminal import terminal_for_us
from gateway import cli
from gateway.config import Config


def no_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@contextlib.contextmanager
def terminal(into: int) -> Iterator[None]:
    was = os.dup(1)
    os.dup2(into, 1)
    try:
        yield
    finally:
        os.dup2(was, 1)
        for descriptor in (was, into):
            os.close(descriptor)


@pytest.mark.parametrize("gone", [no_reader, lambda: os.open("/dev/full", os.O_WRONLY)], ids=["no reader", "no space"])
def test_nobody_is_stopped_by_a_terminal_that_is_gone(tmp_path: Path, gone: Callable[[], int]) -> None:
    """`sluice up | tee log`: the Ctrl-C that is to stop Sluice in good order ends `tee` too."""
    done = []
    with terminal(gone()), terminal_for_us(tmp_path / "sluice.log") as console:
        for word in ("stopping", "stopped"):
            console.print(word)
            done.append(word)
    assert done == ["stopping", "stopped"]


def test_the_log_of_the_run_before_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    log, before = tmp_path / "sluice.log", tmp_path / "sluice.log.1"
    for words in (b"one", b"two", b"", b"three"):
        with terminal_for_us(log):
            os.write(1, words)
    assert (log.read_bytes(), before.read_bytes()) == (b"three", b"two"), "a run that wrote nothing ousts nothing"


def test_a_second_start_leaves_the_log_of_the_running_one_alone(tmp_path: Path) -> None:
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    config = Config.model_validate({"state_dir": str(tmp_path), "models": models})
    log = tmp_path / "sluice.log"
    with alone(tmp_path):
        log.write_text("of the running one")
        with pytest.raises(StartError, match="already running"):
            cli._up(config, tmp_path / "sluice.yaml")
    assert [path.read_text() for path in tmp_path.glob("sluice.log*")] == ["of the running one"]

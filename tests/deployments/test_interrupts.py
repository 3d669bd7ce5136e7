"""A stop that comes while `sluice up` starts: nothing is started after it, and what was is undone. Without Ray."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from deployments import supervisor as command
from deployments.run_state import RunState
from deployments.supervisor import Supervisor
from gateway import cli
from gateway.config import Config
from gateway.plain_console import plain_console


def interrupt(*_: object) -> list[object]:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)
    return []


@pytest.fixture
def config(tmp_path: Path) -> Config:
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    return Config.model_validate({"state_dir": str(tmp_path), "models": models})


@pytest.fixture
def did(config: Config, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a start with a Ray that only pretends, and its undoing, have done."""
    done: list[str] = []
    up = []

    def start(_self: Supervisor) -> SimpleNamespace:
        done.append("Ray started")
        interrupt()
        up.append(True)
        return SimpleNamespace(dashboard_url="")

    def absent(*_: object, **__: object) -> None:
        raise ValueError("no such actor")

    monkeypatch.setattr(command.environment, "ray", lambda _config: {})
    monkeypatch.setattr(command, "resolve", lambda *_: [])
    monkeypatch.setattr(command, "check_ports", lambda *_: None)
    monkeypatch.setattr(command.processes, "end", lambda *_: done.append("processes ended") or [])
    monkeypatch.setattr(ray, "is_initialized", lambda: bool(up))
    monkeypatch.setattr(ray, "shutdown", lambda: done.append("Ray stopped"))
    monkeypatch.setattr(ray, "get_actor", absent)
    monkeypatch.setattr(Supervisor, "_init_ray", start)
    return done


@pytest.fixture
def hangup_ignored() -> Iterator[None]:
    was = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, was)


async def test_a_stop_between_ray_and_serve_stops_ray_and_leaves_no_trace(config: Config, did: list[str]) -> None:
    """There is no Serve to take anything from."""
    await Supervisor(config, Path("sluice.yaml"), plain_console()).run(lambda _state: None)
    assert did == ["Ray started", "Ray stopped", "processes ended"]
    assert not RunState.file(config.state_dir).exists()


async def test_a_stop_before_ray_is_there_starts_none(
    config: Config, did: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "resolve", interrupt)
    await Supervisor(config, Path("sluice.yaml"), plain_console()).run(lambda _state: None)
    assert did == ["processes ended"]


def test_an_interrupt_before_anything_runs_ends_the_command_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "sluice.yaml"
    file.write_text("models: []")
    monkeypatch.setattr("sys.argv", ["sluice", "up", str(file)])
    monkeypatch.setattr(cli, "load", interrupt)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


@pytest.mark.usefixtures("hangup_ignored")
async def test_a_terminal_that_hangs_up_stops_nobody_who_was_started_to_outlive_it(config: Config) -> None:
    """nohup."""
    supervisor = Supervisor(config, Path("sluice.yaml"), plain_console())
    supervisor._take_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.sleep(0.05)
    assert not supervisor._stop.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(supervisor._stop.wait(), 5)

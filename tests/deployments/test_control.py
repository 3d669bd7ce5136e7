"""`sluice down` and `status` by what `sluice up` leaves behind, against processes that merely sleep."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from deployments.control import down, queue_line, scaling_line, status
from deployments.processes import birth
from deployments.run_state import RunState
from gateway.config import Config
from gateway.plain_console import plain_console

OBEDIENT = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + OBEDIENT


@pytest.fixture
def console() -> Console:
    return Console(record=True, width=200)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    return Config.model_validate({"state_dir": str(tmp_path), "models": models})


@pytest.fixture(params=[OBEDIENT])
def running(request: pytest.FixtureRequest, config: Config) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", request.param], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        RunState(
            process.pid, birth(process.pid), "c.yaml", "http://127.0.0.1:1", "", management=["http://127.0.0.1:1"]
        ).write(config.state_dir)
        yield process
        process.kill()


def test_down_ends_what_runs_and_waits_for_it(config: Config, running: subprocess.Popen[str], console: Console):
    assert down(config, 10, console) == 0
    assert "stopped" in console.export_text()
    assert running.wait(5) != 0


@pytest.mark.parametrize("running", [STUBBORN], indirect=True)
def test_down_says_when_it_takes_longer_than_it_was_given(
    config: Config, running: subprocess.Popen[str], console: Console
):
    begun = time.monotonic()
    assert down(config, 0.3, console) == 1
    assert time.monotonic() - begun < 5
    assert str(running.pid) in console.export_text()


def test_down_of_what_ends_by_itself_at_that_moment(
    config: Config, running: subprocess.Popen[str], console: Console, monkeypatch: pytest.MonkeyPatch
):
    kill = os.kill

    def too_late(pid: int, number: int) -> None:
        kill(pid, signal.SIGKILL)
        running.wait(5)
        kill(pid, number)

    monkeypatch.setattr(os, "kill", too_late)
    assert down(config, 10, console) == 0
    assert "stopped" in console.export_text()


def test_status_of_a_gateway_that_does_not_answer(config: Config, running: subprocess.Popen[str], console: Console):
    assert status(config, console, as_json=True) == 1
    said = json.loads(console.export_text())
    assert said["running"]
    assert "does not answer" in said["gateways"][0]["problems"][0]


def test_status_tells_what_serve_says_of_an_unhealthy_deployment(
    config: Config, running: subprocess.Popen[str], console: Console
):
    """No gateway knows of an engine that never comes up."""
    why = "failed to start 3 times in a row: [bold]no such file"
    RunState(running.pid, birth(running.pid), "c.yaml", "", "", unhealthy={"engine-m": why}).write(config.state_dir)
    status(config, console, as_json=True)
    assert json.loads(console.export_text())["unhealthy"] == {"engine-m": why}
    status(config, plain_console(said := io.StringIO()), as_json=False)
    assert f"engine-m is unhealthy: {why}\n" in said.getvalue()


def test_a_pid_that_another_process_has_by_now_is_not_ours(
    config: Config, running: subprocess.Popen[str], console: Console
):
    RunState(running.pid, birth(os.getpid()), "c.yaml", "http://127.0.0.1:1", "").write(config.state_dir)
    assert RunState.read(config.state_dir) is None
    assert down(config, 1, console) == 0
    assert running.poll() is None


def test_a_clock_that_is_set_makes_nobody_another_process(
    config: Config, running: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
):
    """As after a boot, once the time is known; psutil tells a start by the time of boot."""
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3)
    state = RunState.read(config.state_dir)
    assert state is not None
    assert state.pid == running.pid


def test_a_process_that_has_ended_and_waits_for_its_parent_runs_no_more(config: Config, running: subprocess.Popen[str]):
    running.kill()
    deadline = time.monotonic() + 10
    while RunState.read(config.state_dir) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert birth(running.pid) is None
    running.wait(10)
    assert birth(running.pid) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"surprise": 1}'])
def test_a_state_that_cannot_be_read_is_no_state(config: Config, content: str):
    RunState.file(config.state_dir).write_text(content)
    assert RunState.read(config.state_dir) is None


def test_the_queue_is_told_in_a_line():
    quiet = {"waiting": 0, "running_sequences": 3}
    assert queue_line(quiet, waking=False) == "3 sequences running, nobody waits"
    by_class = {"interactive": {"requests": 0}, "standard": {"requests": 4}, "batch": {"requests": 8}}
    busy = {"waiting": 12, "running_sequences": 64, "waiting_tokens": 3400, "oldest_s": 2.06, "by_class": by_class}
    assert queue_line(busy, waking=False) == (
        "64 sequences running, 12 wait (4 standard, 8 batch; 3400 tokens of work), the oldest for 2.1 s"
    )
    assert queue_line(busy, waking=True).startswith("waking, no engine has come yet, 12 wait"), "maybe none ever does"


def test_what_holds_a_model_at_its_bound_is_told_beside_its_last_change():
    held = "max_replicas: 4 would be needed"
    change = {"at": 0.0, "from": 1, "to": 2, "reasons": ["backlog: 9 s of it", "more: 1"]}
    record = {"ready": 2, "target": 2, "needed": 3.9, "reasons": ["forecast: work for 3.9", held], "changes": [change]}
    now, before = scaling_line(record).split(". Last change: ")
    assert now.startswith("2 replicas of 2 wanted, 3.90 needed: ")
    assert held in now
    assert before.startswith("1 -> 2 at ")
    assert before.endswith(": backlog: 9 s of it; more: 1")
    assert held in scaling_line(record | {"changes": []})

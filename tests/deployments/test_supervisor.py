"""`sluice up` while it runs: what it says, and what a reload that fails leaves behind. Without Ray."""

import asyncio
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from deployments import membership
from deployments import supervisor as command
from deployments.control import reload, status
from deployments.preflight import StartError
from deployments.run_state import RunState
from deployments.supervisor import Supervisor
from gateway.audit.verify import verify
from gateway.config import Config, load
from gateway.plain_console import plain_console
from gateway.pool.wire import GatewayCard

MODELS = "models:\n  - {name: a, checkpoints: {cpu: {source: 'demo:int8', format: int8-w8a8}}}\n"


class Running:
    """A supervisor as it is once it has started, and what it prints."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sluice.yaml"
        self.head = f"state_dir: {folder / 'state'}\n"
        self.file.write_text(self.head + MODELS)
        self.printed = io.StringIO()
        self.supervisor = Supervisor(load(self.file), self.file, plain_console(self.printed))
        self.state = self.supervisor._state

    async def reload(self, content: str) -> str:
        """How it went."""
        self.file.write_text(self.head + content)
        before = self.state.reloads
        task = asyncio.create_task(self.supervisor._reload_when_asked())
        self.supervisor._reload.set()
        async with asyncio.timeout(20):
            while self.state.reloads == before:
                assert not task.done(), "it goes on listening"
                await asyncio.sleep(0.01)
        task.cancel()
        return self.state.reload_error


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(tmp_path)


async def test_a_broken_file_is_told_in_its_own_words_and_ends_nothing(running: Running) -> None:
    error = await running.reload(MODELS + "gateway: {drain_s: 4}} # [/x] [type=missing]\n")
    assert "is not YAML" in error
    assert "[/x] [type=missing]" in error
    assert f"not reloaded: {error}" in running.printed.getvalue()


async def test_after_a_reload_that_failed_its_mend_is_taken_over(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What never came up is nothing that others rely on."""
    wrong, right = (
        MODELS + f"  - {{name: b, checkpoints: {{cpu: {{source: 'demo:{source}', format: {kind}}}}}}}\n"
        for source, kind in (("bf16", "bf16"), ("int8", "int8-w8a8"))
    )
    ends = ["the checkpoint cannot be read", "", ""]

    async def deploy(_config: Config, _served: object) -> None:
        pass

    async def wait(_config: Config) -> None:
        if reason := ends.pop(0):
            raise StartError(reason)

    monkeypatch.setattr(running.supervisor, "_deploy", deploy)
    monkeypatch.setattr(running.supervisor, "_wait", wait)
    assert "cannot be read" in await running.reload(wrong)
    assert await running.reload(right) == ""
    assert "models.b.checkpoints" in await running.reload(wrong), "now it is in use"
    assert await running.reload(MODELS) == ""


async def test_who_asks_during_a_reload_is_told_of_the_one_after_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that runs has read the file before this change."""
    begun, go_on, config = asyncio.Event(), asyncio.Event(), load(running.file)

    async def take_over(_config: Config) -> None:
        if not begun.is_set():
            begun.set()
            await go_on.wait()
            return
        await asyncio.sleep(0.3)  # longer than it takes who asks to look again
        raise StartError("the change is wrong")

    async def ask() -> tuple[int, str]:
        said = io.StringIO()
        return await asyncio.to_thread(reload, config, 20, plain_console(said)), said.getvalue().strip()

    monkeypatch.setattr(running.supervisor, "_take_over", take_over)
    running.supervisor._take_signals()
    running.state.write(config.state_dir)
    task = asyncio.create_task(running.supervisor._reload_when_asked())
    first = asyncio.create_task(ask())
    await asyncio.wait_for(begun.wait(), 20)
    second = asyncio.create_task(ask())
    async with asyncio.timeout(20):
        while not running.supervisor._reload.is_set():
            await asyncio.sleep(0.01)
    go_on.set()
    assert await second == (1, "not reloaded: the change is wrong")
    await first
    task.cancel()


async def test_a_disk_that_is_full_does_not_end_the_watch_over_gateways(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of them is known, told or not, and others are told once there is room."""

    async def watch(_deployment: str, _app: str, _read: object, on_change: Callable[[list[GatewayCard]], None]) -> None:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
        try:
            on_change([GatewayCard("id", "key", "http://one")])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert running.state.management == ["http://one"]
        on_change([GatewayCard("id", "key", "http://two")])

    monkeypatch.setattr(membership, "watch", watch)
    state_dir = load(running.file).state_dir
    running.state.write(state_dir)
    await running.supervisor._watch_gateways("Gateway")
    told = RunState.read(state_dir)
    assert told is not None
    assert told.management == ["http://two"]
    assert "run.json cannot be written: " in running.printed.getvalue()


async def test_a_deployment_that_falls_ill_after_the_start_is_told_of_once_for_each_reason(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill = SimpleNamespace(status="UNHEALTHY", message="failed to start 3 times: [/x]")
    worse = SimpleNamespace(status="UNHEALTHY", message="failed to start 4 times")
    well = SimpleNamespace(status="HEALTHY", message="")
    told: list[dict[str, str]] = []
    seen = iter([well, ill, ill, None, worse, well, well])

    async def application() -> SimpleNamespace | None:
        if state := RunState.read(running.supervisor._config.state_dir):
            told.append(state.unhealthy)
        engine = next(seen)
        return engine and SimpleNamespace(deployments={"Gateway": well, "engine-a": engine})

    monkeypatch.setattr(command, "HEALTH_S", 0)
    monkeypatch.setattr(running.supervisor, "_application", application)
    running.state.write(running.supervisor._config.state_dir)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await running.supervisor._watch_health()
    lines = [line.partition(" s  ")[2] for line in running.printed.getvalue().splitlines()]
    assert lines == [
        "engine-a: failed to start 3 times: [/x]",
        "engine-a: failed to start 4 times",
        "engine-a: no longer unhealthy",
    ]
    first, second = {"engine-a": ill.message}, {"engine-a": worse.message}
    assert told == [{}, {}, first, first, first, second, {}, {}]


async def test_it_can_be_found_from_another_terminal_while_it_starts(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, seen = asyncio.Event(), io.StringIO()

    async def start(_served: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(command.environment, "ray", lambda _config: {})
    monkeypatch.setattr(command, "check_ports", lambda *_: None)
    monkeypatch.setattr(running.supervisor, "_start", start)
    monkeypatch.setattr(running.supervisor, "_shutdown", lambda: None)
    task = asyncio.create_task(running.supervisor.run(lambda _state: None))
    await asyncio.wait_for(begun.wait(), 20)
    assert status(load(running.file), plain_console(seen), as_json=False) == 1
    assert "no gateway runs: Sluice is starting" in seen.getvalue()
    running.supervisor._stop.set()
    await task


def test_clients_are_told_of_an_ipv6_address_in_brackets(running: Running) -> None:
    running.file.write_text(
        running.head + MODELS + "gateway: {listen: {host: '::1'}, haproxy: {enabled: true, host: '::1'}}\n"
    )
    state = Supervisor(load(running.file), running.file, plain_console())._state
    assert (state.url, state.haproxy) == ("http://[::1]:8080", "http://[::1]:8000")
    assert httpx.URL(state.url).host == "::1"


@pytest.mark.parametrize("audited", [True, False])
async def test_what_gateways_are_not_told_of_a_reload_is_in_the_audit_trail(
    running: Running, monkeypatch: pytest.MonkeyPatch, audited: bool
) -> None:
    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(running.supervisor, "_deploy", nothing)
    monkeypatch.setattr(running.supervisor, "_wait", nothing)
    folder, vault = load(running.file).audit_folders
    if not audited:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("no folder")
    more = MODELS + "  - {name: b, checkpoints: {cpu: {source: 'demo:bf16', format: bf16}}}\n"
    for content in (MODELS, more, more + "limits: {redis: 'redis://:one@h/0'}\n"):
        assert await running.reload(content) == ""
    if not audited:
        assert "not in the audit trail" in running.printed.getvalue()
        return
    written = "".join(path.read_text() for path in folder.rglob("*.jsonl"))
    assert written.count('"config.loaded"') == 3
    assert '["a","b"]' in written
    assert "redis" not in written
    assert verify(folder, vault).whole


async def test_serve_is_asked_one_thing_at_a_time_even_by_who_is_stopped_meanwhile(running: Running) -> None:
    at_work: list[int] = []
    most = 0

    def ask() -> None:
        nonlocal most
        at_work.append(1)
        most = max(most, len(at_work))
        time.sleep(0.05)
        at_work.pop()

    asking = [asyncio.create_task(running.supervisor._blocking(ask)) for _ in range(4)]
    await asyncio.sleep(0.02)
    asking[0].cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert most == 1

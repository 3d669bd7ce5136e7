"""The Sluice that is tormented: who its engines are and how they stand, its processes, and its configuration."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deployments.run_state import RunState
from loadtests.chaos.waiting import until
from loadtests.redis_server import RedisServer

POLL_S = 0.1
COMMAND_S = 240.0


@dataclass(frozen=True)
class Engine:
    """One engine as the gateway sees it. `faults` is 0 when it is in good standing."""

    id: str
    pid: int
    port: int
    state: str
    requests: int
    faults: int


@dataclass(frozen=True)
class Target:
    """`file` is the configuration that it was started with; `pids` lists its processes, those outside our tree included;
    `redis` is what it shares its limits by, if this machine has one.
    """

    file: Path
    state_dir: Path
    model: str
    pids: Callable[[], Iterable[int]]
    redis: RedisServer | None = None
    watcher: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(trust_env=False, timeout=10))

    @property
    def config(self) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load(self.file.read_text(encoding="utf-8"))
        return read

    @property
    def entry(self) -> dict[str, Any]:
        """The tormented model's part of the configuration."""
        return next(entry for entry in self.config["models"] if entry["name"] == self.model)

    async def engines(self) -> list[Engine]:
        """Raises httpx.HTTPError if no gateway answers. An update may have replaced it, and moved its management port."""
        listed = (await self._model())["engines"]
        return [
            Engine(
                one["id"],
                one["pid"],
                int(one["address"].rpartition(":")[2]),
                one["state"],
                one["requests_from_here"],
                one["faults"],
            )
            for one in listed
        ]

    async def hedged(self) -> int:
        """First tokens that a second engine was asked for, since the gateway started."""
        return int((await self._model())["failover"]["hedged"])

    async def moved(self) -> int:
        """Streams that went on with another engine, since the gateway started. Raises httpx.HTTPError if none answers."""
        return int((await self._model())["failover"]["moved"])

    async def _model(self) -> dict[str, Any]:
        state = RunState.read(self.state_dir)
        if state is None or not state.management:
            raise httpx.ConnectError("no gateway is known")
        status = (await self.watcher.get(f"{state.management[-1]}/status")).json()
        found: dict[str, Any] = next(model for model in status["models"] if model["name"] == self.model)
        return found

    async def key(self, tenant: str) -> str:
        """A new one, by `sluice keys create`."""
        told = await self._command("keys", "-c", self.file, "create", "--name", "chaos", "--tenant", tenant)
        return told.split()[0]

    async def reload(self, **changes: Any) -> None:
        """Change the model's entry in the file, and have it taken over; returns when the rolling update is over."""
        config = self.config
        next(entry for entry in config["models"] if entry["name"] == self.model).update(changes)
        self.file.write_text(yaml.safe_dump(config), encoding="utf-8")
        await self._command("reload", "-c", self.file, "--timeout", COMMAND_S)

    async def _command(self, *arguments: object) -> str:
        """Raises RuntimeError with what it said if it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.cli", *map(str, arguments),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            out, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        if process.returncode != 0:
            raise RuntimeError(f"sluice {arguments[0]} failed: {out.decode(errors='replace').strip()[-2000:]}")
        return out.decode()

    def processes(self, sign: str) -> list[psutil.Process]:
        """Its processes whose command line contains `sign`."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if sign in " ".join(process.cmdline()):
                    found.append(process)
        return found


def core_of(engine: Engine) -> psutil.Process:
    """The engine core below a replica; raises StopIteration if it has none."""
    children = psutil.Process(engine.pid).children(recursive=True)
    return next(child for child in children if "EngineCore" in " ".join(child.cmdline()))


def send(process: psutil.Process, number: signal.Signals) -> None:
    """To a process that may be gone already."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


class Standing:
    """Watches how the engines stand. `bad_at`: when they were last seen otherwise than `expected` engines, all up and given
    work; `checks` counts looks. Times are seconds of time.perf_counter.
    """

    def __init__(self, target: Target, expected: int) -> None:
        self._target = target
        self.expected = expected
        self.engines: list[Engine] = []
        self.bad_at = 0.0
        self.good = False
        self.checks = 0

    async def watch(self) -> None:
        while True:
            begun = time.perf_counter()
            try:
                self.engines = await self._target.engines()
                self.good = [(one.state, one.faults) for one in self.engines] == [("up", 0)] * self.expected
            except httpx.HTTPError:
                self.good = False
            if not self.good:
                self.bad_at = time.perf_counter()
            self.checks += 1
            await asyncio.sleep(max(0.0, POLL_S - (time.perf_counter() - begun)))

    async def regained(self, without: Iterable[str], within_s: float) -> None:
        """Until all stand well, none of `without` among them. Raises TimeoutError."""
        gone, fresh = set(without), self.checks + 2

        def well() -> bool:
            if not gone.isdisjoint(one.id for one in self.engines):
                self.bad_at = time.perf_counter()
                return False
            return self.good and self.checks >= fresh

        await until(well, within_s, "all engines in good standing", POLL_S / 2)

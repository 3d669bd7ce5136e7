"""Behind `sluice up`: starts Ray and the Serve application, says what is going on, and stops all of it again."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from deployments import audited_config, environment, processes, withheld
from deployments.autoscaling import record
from deployments.preflight import check_ports, check_reload, check_room, check_tls, make_token, resolve
from deployments.quantization import Served
from deployments.readiness import POLL_S, Readiness, unhealthy
from deployments.run_state import RunState
from gateway.audit.record import AuditError
from gateway.config import Config, load
from gateway.config.listen import door_url
from gateway.errors import OperatorError

HEALTH_S = 5.0
STOP_GRACE_S = 5.0
DELETE_GRACE_S = 30.0
SIGNALS_S = 0.05
"""Within this the loop has heard of a stop that came while it could not listen, and Ray is not started at all."""


class Supervisor:
    """One `sluice up`, for who is `alone`. `run` returns after a stop signal, when everything it started is gone. `console` must
    outlast its terminal.
    """

    def __init__(self, config: Config, where: Path, console: Console) -> None:
        self._config = config
        self._where = str(where)
        self._console = console
        self._begun = time.monotonic()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._taken_over = config
        self._state = _state(config, self._where)
        self._watchers: list[asyncio.Task[None]] = []
        self._step: asyncio.Future[Any] | None = None
        self._turn = asyncio.Lock()
        self._secrets: Path | None = None

    async def run(self, on_ready: Callable[[RunState], None]) -> None:
        """Raises ConfigError or StartError; what had been started is stopped then too."""
        config = self._config
        self._take_signals()
        served = resolve(config, self._where)
        check_room(config, self._where)
        check_tls(config, self._where)
        check_ports(config, self._where)
        make_token(config.ray_token_file)
        os.environ.update(environment.ray(config))
        try:
            self._state.write(config.state_dir)
            starting = asyncio.create_task(self._start(served))
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                on_ready(starting.result())
                reloading = asyncio.create_task(self._reload_when_asked())
                await asyncio.wait([reloading, stopping], return_when=asyncio.FIRST_COMPLETED)
                reloading.cancel()
                await asyncio.gather(reloading, return_exceptions=True)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        finally:
            for watcher in self._watchers:
                watcher.cancel()
            if self._step is not None:
                await asyncio.wait([self._step])
            await asyncio.to_thread(self._shutdown)

    def _take_signals(self) -> None:
        """Called again once Ray is up: its core puts a SIGTERM handler of its own over ours, which ends the process at once."""
        loop = asyncio.get_running_loop()
        stops = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup has it ignored
            stops.append(signal.SIGHUP)
        for number in stops:
            loop.remove_signal_handler(number)
            loop.add_signal_handler(number, self._stop.set)
        loop.remove_signal_handler(signal.SIGUSR1)
        loop.add_signal_handler(signal.SIGUSR1, self._reload.set)

    def _say(self, *parts: str | tuple[str, str]) -> None:
        """Plain text, or (text, style): errors of others are told, too."""
        self._console.print(Text.assemble((f"{time.monotonic() - self._begun:6.1f} s", "dim"), "  ", *parts))

    def _tell_others(self) -> None:
        """By run.json. A disk that is full keeps nobody from going on."""
        try:
            self._state.write(self._config.state_dir)
        except OSError as exc:
            self._say(f"{RunState.file(self._config.state_dir)} cannot be written: {exc}")

    async def _blocking(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """A call that cannot be cancelled: whoever stops us in the middle waits for it before undoing it. One at a time: Serve
        tells pickle, for a moment but for the whole process, what to pack by value, and two threads take that from each other.
        """
        await self._turn.acquire()
        self._step = asyncio.ensure_future(asyncio.to_thread(call, *args, **more))
        self._step.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(self._step)

    async def _start(self, served: list[Served]) -> RunState:
        await asyncio.sleep(SIGNALS_S)
        for one in served:
            kind = f": {one.checkpoint.source} as {one.checkpoint.format} on {one.accelerator}"
            self._say("model ", (one.model.name, "bold"), kind)
        from ray import serve

        config = self._config
        context = await self._blocking(self._init_ray)
        self._take_signals()
        dashboard = f"http://{context.dashboard_url}" if context.dashboard_url else ""
        self._say("Ray is up" + (f", dashboard at {dashboard}" if dashboard else ""))
        from deployments.app import GATEWAY

        haproxy = config.gateway.haproxy
        await self._blocking(
            serve.start,
            proxy_location="EveryNode" if haproxy.enabled else "Disabled",
            http_options={"host": haproxy.host, "port": haproxy.port},
        )
        await self._deploy(config, served)
        await self._record(config)
        self._state.dashboard = dashboard
        self._state.write(config.state_dir)
        self._watchers.append(asyncio.create_task(self._watch_gateways(GATEWAY)))
        await self._wait(config)
        self._watchers.append(asyncio.create_task(self._watch_health()))
        self._forget()
        processes.let_watchers_yield()
        return self._state

    async def _deploy(self, config: Config, served: list[Served]) -> None:
        """Serve starts what is new, replaces what has changed, and leaves alone what has not."""
        from ray import serve

        from deployments.app import build

        there = (await self._blocking(serve.status)).applications.get(config.name)
        self._secrets = withheld.leave(config)
        deployed = there.deployments if there else ()
        built = await self._blocking(build, config, served, deployed, self._secrets)
        target = serve.RunTarget(target=built, name=config.name, route_prefix="/")
        await self._blocking(serve.run_many, [target], wait_for_applications_running=False)

    async def _record(self, config: Config) -> None:
        """What is in force is in force, recorded or not."""
        try:
            await self._blocking(audited_config.record, config, self._secrets)
        except AuditError as err:
            self._say(f"this configuration is not in the audit trail: {err}")

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._state.reloads_begun += 1
            self._tell_others()
            try:
                await self._take_over(load(Path(self._where)))
                self._state.reload_error = ""
                self._say("reloaded")
            except OperatorError as err:
                self._state.reload_error = str(err)
                self._say(f"not reloaded: {err}")
            except Exception as exc:  # noqa: BLE001  whatever a reload trips over, what runs shall go on running
                self._state.reload_error = f"{type(exc).__name__}: {exc}"
                self._say(f"not reloaded: {self._state.reload_error}")
            self._state.reloads += 1
            self._tell_others()

    async def _take_over(self, config: Config) -> None:
        """A rolling update to a changed configuration; returns when it is over. One that failed may be followed by any that could
        have come in its place.
        """
        self._say(f"reloading {self._where}")
        check_reload(self._taken_over, config, self._where)
        check_room(config, self._where)
        served = resolve(config, self._where)
        self._config = config
        await self._deploy(config, served)
        await self._record(config)
        await self._wait(config)
        self._taken_over = config
        self._forget()

    def _forget(self) -> None:
        """What replicas that are gone now wrote and read."""
        withheld.forget(self._config, but=self._secrets)
        record.keep(self._config.autoscaling_folder, [one.name for one in self._config.models if one.autoscaling])

    def _init_ray(self) -> Any:
        import ray

        settings = self._config.ray
        closed = {"worker_process_setup_hook": "deployments.closed_ports.close"}
        if settings.address is not None:
            return ray.init(
                address=settings.address, runtime_env=closed, log_to_driver=False, logging_level=logging.ERROR
            )
        return ray.init(
            address="local",
            runtime_env=closed,
            num_cpus=settings.logical_cpus,
            include_dashboard=settings.dashboard,
            dashboard_host=settings.dashboard_host,
            dashboard_port=settings.dashboard_port,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )

    async def _watch_gateways(self, deployment: str) -> None:
        from deployments import membership
        from gateway.pool.wire import GatewayCard

        def on_change(cards: list[GatewayCard]) -> None:
            self._state.management = [card.management for card in cards]
            self._tell_others()

        await membership.watch(deployment, self._config.name, GatewayCard.from_metadata, on_change)

    async def _watch_health(self) -> None:
        """After the start, too, an engine may never come up again: nobody but Serve knows of it."""
        while True:
            if (application := await self._application()) is not None:
                before, self._state.unhealthy = self._state.unhealthy, unhealthy(application)
                for name, why in self._state.unhealthy.items():
                    if before.get(name) != why:
                        self._say(f"{name}: {why}")
                for name in before.keys() - self._state.unhealthy.keys():
                    self._say(f"{name}: no longer unhealthy")
                if before != self._state.unhealthy:
                    self._tell_others()
            await asyncio.sleep(HEALTH_S)

    async def _application(self) -> Any:
        """Its status as Serve has it, None if it cannot be told now."""
        import ray
        from ray import serve
        from ray.serve.exceptions import RayServeException

        try:
            return (await self._blocking(serve.status)).applications.get(self._config.name)
        except (ray.exceptions.RayError, RayServeException):  # its controller is away
            return None

    async def _wait(self, config: Config) -> None:
        """Until all gateways and engines of this configuration serve. Raises StartError if they never will."""
        readiness = Readiness(self._application, self._say)
        await readiness.running()
        async with httpx.AsyncClient(trust_env=False) as client:
            await readiness.ready(config.gateway.replicas, lambda: self._state.management, client)

    def _delete_application(self, serve: Any) -> None:
        """Serve's own shutdown waits for 30 s only, whatever the replicas were promised for their drain."""
        serve.delete(self._config.name, _blocking=False)
        deadline = time.monotonic() + self._config.gateway.drain_s + DELETE_GRACE_S
        while self._config.name in serve.status().applications and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _shutdown(self) -> None:
        """Serve first, so that gateways and engines drain; then Ray; then whatever is left below this process."""
        import ray
        from ray import serve
        from ray.serve.exceptions import RayServeException

        self._say("stopping")
        below = processes.descendants()
        if ray.is_initialized():
            with contextlib.suppress(ray.exceptions.RayError, RayServeException):  # the latter: there is no Serve yet
                self._delete_application(serve)
                if self._config.ray.address is None:
                    serve.shutdown()
            below += processes.descendants()
            ray.shutdown()
        killed = processes.end(list(set(below)), STOP_GRACE_S)
        RunState.remove(self._config.state_dir)
        withheld.forget(self._config)
        self._say("stopped" if not killed else f"stopped; {len(killed)} processes had to be killed")


def _state(config: Config, where: str) -> RunState:
    """Of this process, before anything runs below it."""
    listen, haproxy = config.gateway.listen, config.gateway.haproxy
    return RunState(
        pid=os.getpid(),
        started=processes.birth(os.getpid()),
        config=where,
        url=door_url(listen.host, listen.port, tls=listen.tls is not None),
        dashboard="",
        haproxy=door_url(haproxy.host, haproxy.port) if haproxy.enabled else "",
    )

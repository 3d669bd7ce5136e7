"""The systems under test: bare vLLM and Sluice, with the same model, engine settings and environment."""

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from deployments import environment, quantization
from gateway.config import Config, load
from loadtests.launch import Launched, free_port

START_S = 240.0
HOST = "127.0.0.1"


@dataclass
class Server:
    """A started system. `ports` names its doors; all of them serve the same model and take the same key."""

    launched: Launched
    model: str
    ports: dict[str, int]
    key: str = ""
    ready: Sequence[str] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    scratch: Path | None = None

    def pids(self) -> list[int]:
        return self.launched.pids()

    def freeze(self) -> None:
        """Every process stands still: what is measured meanwhile has the machine to itself."""
        self.launched.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Returns when it serves again."""
        self.launched.signal(signal.SIGCONT)
        self.launched.wait_ready(self.ready, START_S)

    def stop(self) -> None:
        self.launched.stop()
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def vllm_flags(config: Config, where: str) -> tuple[list[str], dict[str, str]]:
    """`vllm serve` arguments and environment of the config's first model, exactly as Sluice's engine replica has them."""
    from deployments.engine import engine_args

    model = config.models[0]
    accelerator = quantization.installed() if config.accelerator == "auto" else config.accelerator
    served = quantization.resolve(model, accelerator, where, config.gateway.admission.reserve)
    flags: list[str] = []
    for name, value in engine_args(served).items():
        flag = name.replace("_", "-")
        match value:
            case bool():
                flags.append(f"--{flag}" if value else f"--no-{flag}")
            case list():
                flags += [f"--{flag}", *map(str, value)]
            case _:
                flags += [f"--{flag}", str(value)]
    if model.tool_parser:
        flags += ["--enable-auto-tool-choice", "--tool-call-parser", model.tool_parser]
    if not model.engine.log_stats:
        flags.append("--disable-log-stats")
    return flags, environment.engine(accelerator, model.engine, served.plugins)


def start_bare(config: Config, where: str, folder: Path, extra: Sequence[str] = ()) -> Server:
    """vLLM's OpenAI server, with `extra` arguments. It writes no access log, as Sluice does not.

    Started as its module: the `vllm` command looks for a distribution of that name, which the CPU build has not.
    """
    flags, env = vllm_flags(config, where)
    flags += extra
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *flags]
    command += ["--host", HOST, "--port", str(port), "--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    launched = Launched(command, env, folder / f"bare-vllm-{port}.log")
    ready = [f"http://{HOST}:{port}/health"]
    try:
        launched.wait_ready(ready, START_S)
    except BaseException:
        launched.stop()
        raise
    return Server(
        launched, config.models[0].name, {"own": port}, "", ready, settings={"flags": flags, "environment": env}
    )


def start_sluice(
    base: Path,
    folder: Path,
    *,
    haproxy: bool,
    engine: Mapping[str, Any] | None = None,
    reserve: float | None = None,
) -> Server:
    """`sluice up` from `base` with ports, state and key of its own; `engine` overrides engine settings, `reserve` admission's.

    Authentication and CURVE are on. Ray's HAProxy keeps its files in a folder of its own, so that two systems do not meet
    there; its name is short, as the path of a socket must be.
    """
    ports = {"own": free_port()} | ({"haproxy": free_port()} if haproxy else {})
    raw = yaml.safe_load(base.read_text(encoding="utf-8"))
    gateway = raw.setdefault("gateway", {})
    gateway["listen"] = {"host": HOST, "port": ports["own"]}
    gateway["management"] = {"host": HOST, "port": free_port()}
    gateway["haproxy"] = {"enabled": haproxy, "host": HOST, "port": ports.get("haproxy", 0)}
    if haproxy:
        gateway["haproxy"] |= {"stats_port": free_port(), "metrics_port": free_port()}
    if reserve is not None:
        gateway.setdefault("admission", {})["reserve"] = reserve
    raw["state_dir"] = str(folder / "state")
    raw.setdefault("auth", {})["first_key"] = False
    raw.setdefault("ray", {})["dashboard_port"] = free_port()
    raw["models"][0].setdefault("engine", {}).update(engine or {})
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sluice.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    config = load(file)
    sluice = [sys.executable, "-m", "gateway.cli"]
    made = subprocess.run(
        [*sluice, "keys", "-c", str(file), "create", "--name", "load test"], capture_output=True, text=True, check=True
    )
    scratch = Path(tempfile.mkdtemp(prefix="hap-"))
    launched = Launched([*sluice, "up", str(file)], _haproxy_files(scratch), folder / "sluice.log")
    ready = [f"http://{HOST}:{port}/readyz" for port in ports.values()]
    settings = config.model_dump(mode="json")
    server = Server(launched, config.models[0].name, ports, made.stdout.split()[0], ready, settings, scratch)
    try:
        launched.wait_ready(ready, START_S)
    except BaseException:
        server.stop()
        raise
    return server


def _haproxy_files(folder: Path) -> dict[str, str]:
    return {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
    }

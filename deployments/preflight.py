"""What must hold before Sluice starts or takes over a changed configuration, each refused with the file and key at fault."""

import contextlib
import difflib
import fcntl
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from deployments import quantization
from deployments.quantization import Served
from deployments.run_state import RunState
from gateway.auth.store import KeyStore
from gateway.config import Config
from gateway.config.models import Model
from gateway.errors import ConfigError, OperatorError
from gateway.http.certificates import server_context
from gateway.pool.parser_names import parser_names

FIXED = ("name", "state_dir", "accelerator", "engine_host", "ray", "auth")
FIXED_OF_GATEWAY = ("listen", "management", "haproxy")
"""What a running Sluice cannot change: others have been told of it."""

ANOTHER_MODEL = (
    "cannot change while Sluice runs: gateways would refuse the new engines or the old ones. "
    "Add a model of another name and remove this one when nobody asks for it any more, or `sluice down` and `sluice up`"
)


class StartError(OperatorError):
    """Sluice did not come up; the message says why."""


@contextlib.contextmanager
def alone(state_dir: Path) -> Iterator[None]:
    """One Sluice for each state directory, also while both are still starting. Raises StartError."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            running = RunState.read(state_dir)
            who = f"pid {running.pid}" if running else "still starting"
            raise StartError(f"Sluice is already running from {state_dir} ({who}); `sluice down` stops it") from exc
        yield


def check_tls(config: Config, where: str) -> None:
    tls = config.gateway.listen.tls
    if tls is not None:
        try:
            server_context(tls)
        except OSError as exc:
            raise ConfigError(where, "gateway.listen.tls", f"cannot be loaded: {exc}") from exc


def check_ports(config: Config, where: str) -> None:
    """The gateway's port is shared between replicas, so a second Sluice would not fail by itself: it is refused here."""
    doors = {"gateway.listen.port": (config.gateway.listen.host, config.gateway.listen.port)}
    if config.gateway.haproxy.enabled:
        haproxy = config.gateway.haproxy
        doors["gateway.haproxy.port"] = (haproxy.host, haproxy.port)
        doors["gateway.haproxy.stats_port"] = ("127.0.0.1", haproxy.stats_port)
        doors["gateway.haproxy.metrics_port"] = ("127.0.0.1", haproxy.metrics_port)
    if config.ray.address is None and config.ray.dashboard:
        doors["ray.dashboard_port"] = (config.ray.dashboard_host, config.ray.dashboard_port)
    for key, (host, port) in doors.items():
        if not port:
            raise ConfigError(
                where, key, "0 would be a port that nobody is told of, another one for each gateway; give one"
            )
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as exc:
                raise ConfigError(where, key, f"{host}:{port} cannot be used: {exc.strerror}") from exc


def make_token(file: Path) -> None:
    """Whole or not at all: an empty one would be refused by Ray at every start. One that is there stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if file.exists() and file.stat().st_size:
        return
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def check_room(config: Config, where: str) -> None:
    """Of a Ray of our own, each gateway and engine takes one slot; what finds none would be waited for without end."""
    gateways, slots = config.gateway.replicas, config.ray.logical_cpus
    engines = sum(
        model.replicas if model.autoscaling is None else model.autoscaling.max_replicas for model in config.models
    )
    if config.ray.address is None and gateways + engines > slots:
        raise ConfigError(
            where,
            "ray.logical_cpus",
            f"{slots} are too few for {gateways} gateways and up to {engines} engines, which take one each. They are slots, not "
            f"cores: say {gateways + engines + 1}, so that an update can start a replica before it stops another",
        )


def _check_parsers(model: Model, where: str) -> None:
    for setting, asked in (("tool_parser", model.tool_parser), ("reasoning_parser", model.reasoning_parser)):
        known = parser_names(setting)
        if asked is not None and known and asked not in known:
            names = difflib.get_close_matches(asked, known) or sorted(known)
            message = f"this vLLM has no {asked}; it has {', '.join(names)}"
            raise ConfigError(where, f"models.{model.name}.{setting}", message)


def resolve(config: Config, where: str) -> list[Served]:
    """Raises ConfigError for what cannot be served with what is installed here, and KeyStoreError for a key file that gateways
    could not read.
    """
    KeyStore(config.keys_file)
    for model in config.models:
        _check_parsers(model, where)
    accelerator = quantization.installed()
    if config.accelerator not in ("auto", accelerator):
        raise ConfigError(
            where,
            "accelerator",
            f"{config.accelerator} asked for, but the installed vLLM is the {accelerator} build; "
            f"run make setup ACCELERATOR={config.accelerator}",
        )
    return [
        quantization.resolve(model, accelerator, where, config.gateway.admission.reserve) for model in config.models
    ]


def check_reload(old: Config, new: Config, where: str) -> None:
    """Raises ConfigError for a change that needs a restart."""
    for key in FIXED:
        if getattr(old, key) != getattr(new, key):
            raise ConfigError(where, key, "cannot change while Sluice runs; `sluice down` and `sluice up` do it")
    before = {model.name: model for model in old.models}
    for model in new.models:
        was = before.get(model.name, model)
        for key, a, b in (
            ("checkpoints", was.checkpoints, model.checkpoints),
            ("engine.max_model_len", was.engine.max_model_len, model.engine.max_model_len),
        ):
            if a != b:
                raise ConfigError(where, f"models.{model.name}.{key}", ANOTHER_MODEL)
    for key in FIXED_OF_GATEWAY:
        if getattr(old.gateway, key) != getattr(new.gateway, key):
            raise ConfigError(
                where, f"gateway.{key}", "cannot change while Sluice runs; `sluice down` and `sluice up` do it"
            )

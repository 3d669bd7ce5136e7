"""The configuration: frozen models, unknown keys refused, every error naming the file and the key."""

import os
import re
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from gateway.config import document
from gateway.config.drift import Drift
from gateway.config.guard import Guard
from gateway.config.limits import Limits
from gateway.config.listen import HAProxy, Listen, Management, Surface, is_loopback
from gateway.config.models import Model
from gateway.config.telemetry import Telemetry
from gateway.config.types import Bytes, Port, Strict, UserPath
from gateway.config.work import Admission, Failover
from gateway.errors import ConfigError

Section = TypeVar("Section", bound=Strict)


class Gateway(Strict):
    replicas: int = Field(default=1, ge=1)
    listen: Listen = Listen()
    management: Management = Management()
    haproxy: HAProxy = HAProxy()
    surface: Surface = Surface()
    failover: Failover = Failover()
    admission: Admission = Admission()
    guard: Guard = Guard()
    engine_wait_s: float = Field(default=5.0, ge=0, description="how long a request may wait for a first engine")
    drain_s: float = Field(default=30.0, ge=0, description="how long a stopping gateway lets its streams run on")
    ready_lead_s: float = Field(
        default=1.0,
        ge=0,
        le=60,
        description="how long a stopping gateway takes new connections after /readyz has turned; part of drain_s",
    )
    keep_alive_s: int = Field(default=75, ge=1)
    debug_headers: bool = Field(default=False, description="answers tell in x-sluice-route why their engine was chosen")

    @model_validator(mode="after")
    def _streams_get_some_of_the_drain(self) -> "Gateway":
        if 0 < self.ready_lead_s >= self.drain_s:
            raise ValueError(
                f"ready_lead_s ({self.ready_lead_s:g} s) is part of drain_s ({self.drain_s:g} s) and must be shorter"
            )
        return self


class Auth(Strict):
    """`first_key` makes a key on first start and shows it once; only hashes are stored."""

    keys_file: UserPath | None = Field(default=None, description="default: keys.json in the state directory")
    first_key: bool = True


class Audit(Strict):
    """The audit trail in `state_dir/audit`: see docs/decisions/0010-audit.md."""

    rotate_size: Bytes = 16 * 2**20
    rotate_hours: float = Field(default=24.0, gt=0)
    keep_days: float = Field(default=90.0, gt=0)
    keep_files: int = Field(default=256, ge=1)


class Ray(Strict):
    """`address: null` starts a Ray of its own on this machine; each gateway and engine takes one of `logical_cpus`, which are
    slots, not cores.
    """

    address: str | None = None
    logical_cpus: int = Field(default=8, ge=2)
    dashboard: bool = True
    dashboard_host: str = "127.0.0.1"
    dashboard_port: Port = 8265


def default_state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "sluice"


class Place(Strict):
    """All that `sluice status` and `sluice down` need to know."""

    state_dir: UserPath = Field(default_factory=default_state_dir)


class Config(Place):
    name: str = Field(default="sluice", pattern=r"^[a-z][a-z0-9-]*$")
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    gateway: Gateway = Gateway()
    models: tuple[Model, ...] = Field(min_length=1)
    auth: Auth = Auth()
    limits: Limits = Limits()
    audit: Audit = Audit()
    telemetry: Telemetry = Telemetry()
    drift: Drift = Drift()
    ray: Ray = Ray()
    engine_host: str = Field(
        default="127.0.0.1", description="where engines listen for gateways; 'node': the node's address"
    )

    @property
    def keys_file(self) -> Path:
        return self.auth.keys_file or self.state_dir / "keys.json"

    @property
    def tiers(self) -> frozenset[str]:
        """Those that metrics tell by name; any other one is `other` there."""
        return frozenset({"standard", *self.gateway.admission.tiers, *self.limits.tiers})

    @property
    def audit_folders(self) -> tuple[Path, Path]:
        """The records, and apart from them the secret and the heads that prove them whole."""
        return self.state_dir / "audit", self.state_dir / "audit-vault"

    @property
    def autoscaling_folder(self) -> Path:
        """Where the autoscaling policy says what it decided: one file for each model."""
        return self.state_dir / "autoscaling"

    @property
    def ray_token_file(self) -> Path:
        """Ray listens on all interfaces even on one machine: whoever lacks this token cannot use it."""
        return self.state_dir / "ray-token"

    @model_validator(mode="after")
    def _open_to_nobody_else(self) -> "Config":
        """A red team attacks its own machine."""
        doors = [self.gateway.listen.host] + ([self.gateway.haproxy.host] if self.gateway.haproxy.enabled else [])
        if self.gateway.guard.unsafe_open_surface and not all(map(is_loopback, doors)):
            raise ValueError(
                "gateway.guard.unsafe_open_surface is accepted only if the gateway listens on loopback alone"
            )
        return self

    @model_validator(mode="after")
    def _names_are_consistent(self) -> "Config":
        names = [re.sub(r"[^A-Za-z0-9_]", "-", model.name) for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("two models have the same name, or names that differ only in punctuation")
        self.limits.check_models(model.name for model in self.models)
        return self


def load(path: Path) -> Config:
    """Read a YAML file. Raises ConfigError naming the file, the key and what is allowed there."""
    return _checked(Config, _mapping(path), path)


def load_place(path: Path) -> Place:
    """Of a file whose other sections may be wrong. Raises ConfigError if it does not even tell this."""
    return _checked(Place, {key: value for key, value in _mapping(path).items() if key in Place.model_fields}, path)


def _mapping(path: Path) -> dict[Any, Any]:
    raw = document.read(path)
    if not isinstance(raw, dict):
        raise ConfigError(str(path), "", "must be a mapping with at least the key 'models'")
    return raw


def _checked(section: type[Section], raw: dict[Any, Any], path: Path) -> Section:
    try:
        return section.model_validate(raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(str(path), key, message) from exc

"""The configuration: frozen models, unknown keys refused, every error naming the file and the key."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import ConfigError

Accelerator = Literal["cpu", "cuda"]
Format = Literal["bf16", "int8-w8a8", "bnb-nf4", "fp8", "awq", "gptq"]

UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _bytes(value: object) -> object:
    """`512MiB` → 536870912; a bare integer is taken as bytes."""
    if isinstance(value, str):
        for unit, factor in UNITS.items():
            if value.endswith(unit) and value[: -len(unit)].strip().isdigit():
                return int(value[: -len(unit)]) * factor
        raise ValueError("give a whole number with a unit, such as 256MiB or 4GiB")
    return value


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
UserPath = Annotated[Path, AfterValidator(lambda path: path.expanduser())]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Tls(Strict):
    """The gateway's own certificate; `client_ca` turns on mutual TLS. Files are re-read when they change."""

    certificate: UserPath
    key: UserPath
    client_ca: UserPath | None = None
    reload_s: float = Field(default=5.0, gt=0)


class Listen(Strict):
    """The gateway replicas' own port. Replicas on one node share it through SO_REUSEPORT."""

    host: str = "127.0.0.1"
    port: Port = 8080
    tls: Tls | None = None


class Management(Strict):
    """Health, metrics and status; the second replica on a node takes any free port."""

    host: str = "127.0.0.1"
    port: Port = 9464


class HAProxy(Strict):
    """Ray Serve's HAProxy as a second door, for gateways on several nodes (docs/decisions/0002)."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 8000
    stats_port: Port = 8404
    metrics_port: Port = 9101
    hard_stop_after_s: int = Field(default=900, ge=120)


class Surface(Strict):
    """What a request may ask for; see gateway/http/surface.py for the allow-lists themselves."""

    unknown_fields: Literal["reject", "drop"] = "reject"
    max_n: int = Field(default=8, ge=1, le=128)
    max_body: Bytes = 4 * 2**20


class Failover(Strict):
    """What happens to requests whose engine dies, hangs or leaves: they go on elsewhere. See gateway/pool/failover.py."""

    park_s: float = Field(default=120.0, ge=0, description="how long such a request waits for an engine to come back")
    stall_s: float = Field(
        default=20.0, gt=0, description="an engine core silent for so long, with work to do, is given up"
    )
    slow_factor: float = Field(
        default=10.0, gt=1, description="times its peers' step time that lose an engine new work"
    )
    retry_reserve: int = Field(default=256, ge=1, description="retries that are granted without any success")
    retry_ratio: float = Field(default=0.2, ge=0, description="retries that each success earns")
    hedge_after_s: float | None = Field(
        default=None, gt=0, description="without a first token, after which a second engine is asked too; null: never"
    )
    hedge_reserve: int = Field(default=16, ge=1, description="hedges that are granted without any success")
    hedge_ratio: float = Field(default=0.05, ge=0, description="hedges that each success earns")


Priority = Literal["interactive", "standard", "batch"]
Weight = Annotated[float, Field(gt=0)]


class Shares(Strict):
    """Weights of the priority classes: what each gets of the engines while all of them have work waiting."""

    interactive: Weight = 16.0
    standard: Weight = 4.0
    batch: Weight = 1.0


class Tier(Strict):
    """What keys of this tier get. `highest` is the best class that their requests may ask for."""

    weight: Weight = 1.0
    key_concurrency: int | None = Field(default=None, ge=1)
    highest: Priority = "interactive"


class Admission(Strict):
    """The waiting queue of each model at each gateway; see docs/decisions/0009-admission.md. Work is counted in tokens."""

    max_requests: int = Field(default=1024, ge=1, description="that may wait")
    max_tokens: int = Field(default=2_000_000, ge=1, description="of work that may wait")
    tenant_share: float = Field(default=0.5, gt=0, le=1, description="of the queue, for one tenant")
    reserve: float = Field(
        default=0.0625, ge=0, lt=0.5, description="of the engines, kept for tenants below their share"
    )
    prefill_tokens: int = Field(
        default=16384, ge=1, description="prompt tokens sent to an engine and not yet prefilled"
    )
    shares: Shares = Shares()
    default_priority: Priority = "standard"
    deadline_s: float | None = Field(
        default=60.0, gt=0, description="until which a request must have started; null: none"
    )
    key_concurrency: int | None = Field(default=None, ge=1, description="requests of one key that wait or run")
    retry_max_s: int = Field(default=120, ge=1, description="the longest Retry-After that is promised")
    keep_alive_s: float = Field(default=5.0, gt=0, description="between two comments to a stream that waits")
    tiers: dict[str, Tier] = Field(default_factory=dict)
    tenants: dict[str, Weight] = Field(
        default_factory=dict, description="weights that go before those of their keys' tiers"
    )


class Gateway(Strict):
    replicas: int = Field(default=1, ge=1)
    listen: Listen = Listen()
    management: Management = Management()
    haproxy: HAProxy = HAProxy()
    surface: Surface = Surface()
    failover: Failover = Failover()
    admission: Admission = Admission()
    engine_wait_s: float = Field(default=5.0, ge=0, description="how long a request may wait for a first engine")
    drain_s: float = Field(default=30.0, ge=0, description="how long a stopping gateway lets its streams run on")
    keep_alive_s: int = Field(default=75, ge=1)
    debug_headers: bool = Field(default=False, description="answers tell in x-sluice-route why their engine was chosen")


class Checkpoint(Strict):
    """Weights for one accelerator: `demo:bf16`, `demo:int8`, a local folder or a Hugging Face id."""

    source: str = Field(min_length=1)
    format: Format = "bf16"
    revision: str | None = None


class EngineSettings(Strict):
    """What governs vLLM's continuous batching and memory; None leaves vLLM's own default."""

    max_num_seqs: int = Field(default=64, ge=1)
    max_num_batched_tokens: int | None = Field(default=None, ge=1)
    chunked_prefill: bool = True
    prefix_caching: bool = True
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    kv_cache_memory: Bytes | None = None
    gpu_memory_utilization: float | None = Field(default=None, gt=0, le=1)
    block_size: int | None = Field(default=None, ge=1)
    max_model_len: int | None = Field(default=None, ge=1)
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    enforce_eager: bool = False
    tensor_parallel: int = Field(default=1, ge=1)
    threads: int = Field(default=1, ge=1, description="OpenMP threads of a CPU engine")
    log_stats: bool = False


class Model(Strict):
    """One served model. The accelerator found at start picks its checkpoint."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9._:/-]+$")
    checkpoints: dict[Accelerator, Checkpoint] = Field(min_length=1)
    replicas: int = Field(default=1, ge=1)
    surge: bool = Field(default=True, description="an update starts new replicas before it stops old ones, given room")
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    trust_remote_code: bool = False
    engine: EngineSettings = EngineSettings()


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
    """`address: null` starts a Ray of its own on this machine; logical_cpus are slots, not cores."""

    address: str | None = None
    logical_cpus: int = Field(default=8, ge=2)
    dashboard: bool = True
    dashboard_host: str = "127.0.0.1"
    dashboard_port: Port = 8265


def default_state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "sluice"


class Config(Strict):
    name: str = Field(default="sluice", pattern=r"^[a-z][a-z0-9-]*$")
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    state_dir: UserPath = Field(default_factory=default_state_dir)
    gateway: Gateway = Gateway()
    models: tuple[Model, ...] = Field(min_length=1)
    auth: Auth = Auth()
    audit: Audit = Audit()
    ray: Ray = Ray()
    engine_host: str = Field(
        default="127.0.0.1", description="where engines listen for gateways; 'node': the node's address"
    )

    @property
    def keys_file(self) -> Path:
        return self.auth.keys_file or self.state_dir / "keys.json"

    @property
    def audit_folders(self) -> tuple[Path, Path]:
        """The records, and apart from them the secret and the heads that prove them whole."""
        return self.state_dir / "audit", self.state_dir / "audit-vault"

    @property
    def ray_token_file(self) -> Path:
        """Ray listens on all interfaces even on one machine: whoever lacks this token cannot use it."""
        return self.state_dir / "ray-token"

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Config":
        names = [re.sub(r"[^A-Za-z0-9_]", "-", model.name) for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("two models have the same name, or names that differ only in punctuation")
        return self


def load(path: Path) -> Config:
    """Read a YAML file. Raises ConfigError naming the file, the key and what is allowed there."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(str(path), "", f"cannot be read: {exc.strerror}") from exc
    except yaml.YAMLError as exc:
        raise ConfigError(str(path), "", f"is not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(raw, dict):
        raise ConfigError(str(path), "", "must be a mapping with at least the key 'models'")
    try:
        return Config.model_validate(raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise ConfigError(str(path), key, message) from exc

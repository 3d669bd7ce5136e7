"""What the sections of the configuration are made of."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

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


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as exc:
        raise ValueError("there is no such user's home folder here") from exc


Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
UserPath = Annotated[Path, AfterValidator(_expanded)]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

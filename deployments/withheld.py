"""Secrets of the configuration on their way to gateways: Serve stores and shows what a replica is told, so it is told of a file."""

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import SecretStr

from gateway.config import Config
from gateway.config.types import Strict

Section = TypeVar("Section", bound=Strict)
UNKNOWN = SecretStr("")


def folder(config: Config) -> Path:
    return config.state_dir / "secrets"


def without(config: Config) -> Config:
    """With an empty text for each secret: what needs one fails, should it never get it."""
    return _with(config, dict.fromkeys(dict(_secrets(config)), UNKNOWN))


def leave(config: Config) -> Path | None:
    """A file of mode 600 that holds the secrets; None if there are none.

    The same secrets have the same file, others have another one, and its name tells nothing of them: it can be part of a version.
    """
    secrets = {key: value.get_secret_value() for key, value in _secrets(config)}
    if not secrets:
        return None
    folder(config).mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in folder(config).glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            if json.loads(file.read_text()) == secrets:
                return file
    new = folder(config) / f"{uuid.uuid4().hex}.json"
    draft = new.with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
        json.dump(secrets, written)
    return draft.rename(new)


def restored(config: Config, file: Path | None) -> Config:
    """What `without` took away. Raises OSError where the file is not: gateways on other nodes must see the same `state_dir`."""
    if file is None:
        return config
    return _with(config, {key: SecretStr(value) for key, value in json.loads(file.read_text()).items()})


def forget(config: Config, but: Path | None = None) -> None:
    """Once nobody is left who could read the other files."""
    for file in folder(config).glob("*"):
        if file != but:
            file.unlink(missing_ok=True)


def _secrets(section: Strict, at: str = "") -> Iterator[tuple[str, SecretStr]]:
    """By their keys, such as `limits.redis`; those in sections, not in lists or mappings."""
    for name, value in section:
        if isinstance(value, SecretStr):
            yield at + name, value
        elif isinstance(value, Strict):
            yield from _secrets(value, f"{at}{name}.")


def _with(section: Section, secrets: Mapping[str, SecretStr]) -> Section:
    changed: dict[str, Any] = {name: value for name, value in secrets.items() if "." not in name}
    for name, value in section:
        below = {key.removeprefix(f"{name}."): secret for key, secret in secrets.items() if key.startswith(f"{name}.")}
        if below and isinstance(value, Strict):
            changed[name] = _with(value, below)
    return section.model_copy(update=changed)

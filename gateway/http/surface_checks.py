"""The vocabulary of the field tables: each check returns a fresh value, omits the field, or raises.

A table says for every field of a request what becomes of it. Nothing mutable is passed through by reference:
containers are rebuilt, and what has no entry is not in the result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from gateway.errors import InvalidRequest, UnknownField, UnsupportedValue

if TYPE_CHECKING:
    from collections.abc import Mapping

Path: TypeAlias = "tuple[Path, str | int] | None"

MAX_SHOWN: Final = 64
MAX_RECORDED: Final = 32


@dataclass(frozen=True, slots=True)
class SurfacePolicy:
    """What an operator may tune; the tables themselves are not configurable. `max_items`: of all lists in a request together,
    messages and their parts first of all; `max_values`: of all JSON whose meaning is the client's.
    """

    unknown_fields: Literal["reject", "drop"] = "reject"
    max_n: int = 8
    max_prompts: int = 16
    max_stop: int = 16
    max_top_logprobs: int = 5
    max_logit_bias: int = 16
    max_tools: int = 128
    max_constraint_chars: int = 16_384
    max_depth: int = 64
    max_items: int = 8192
    max_values: int = 65_536


class Why(StrEnum):
    """Reasons for which a field that vLLM knows is refused; clients read the text."""

    LEAKS = "it exposes the model's internals"
    OWNED = "the gateway sets it"
    ENGINE = "it controls the engine"
    TEMPLATE = "it changes how the prompt is assembled"
    COST = "it makes a request arbitrarily expensive"
    DEBUG = "it is for debugging an engine"
    MEDIA = "only text is served"
    STATE = "the gateway stores no responses: send the whole conversation"
    SERVER_TOOL = "tools run at the client, never here"
    UNSUPPORTED = "it is not supported"
    LEGACY = "it is obsolete: use its current form"


class Omit:
    """Type of the mark by which a check leaves its field out."""


OMIT: Final = Omit()


@dataclass(slots=True)
class Walk:
    """One walk through one body: the policy, what has been left out so far, and how much there was."""

    policy: SurfacePolicy
    dropped: list[str] = field(default_factory=list)
    items: int = 0
    values: int = 0

    def drop(self, path: Path) -> Omit:
        if len(self.dropped) < MAX_RECORDED:
            self.dropped.append(shown(path))
        return OMIT


class Check(Protocol):
    def __call__(self, value: object, path: Path, walk: Walk, /) -> object: ...


def shown(path: Path) -> str:
    """`messages[0].content`, with hostile names cut short."""
    keys: list[str | int] = []
    while path is not None:
        path, key = path
        keys.append(key)
    text = ""
    for key in reversed(keys):
        text += f"[{key}]" if isinstance(key, int) else f".{key[:MAX_SHOWN]}"
    return text.removeprefix(".")


def wrong(path: Path, expected: str) -> InvalidRequest:
    name = shown(path)
    return InvalidRequest(f"'{name}' must be {expected}.", param=name)


def beyond(path: Path, allowed: str) -> UnsupportedValue:
    """For a value of the right kind that the policy does not allow."""
    name = shown(path)
    return UnsupportedValue(f"'{name}' must be {allowed}.", param=name)


@dataclass(frozen=True, slots=True)
class Ignored:
    """Accepted for compatibility and left out: it would have no effect on this server."""

    def __call__(self, _value: object, path: Path, walk: Walk, /) -> object:
        return walk.drop(path)


@dataclass(frozen=True, slots=True)
class Refused:
    """An error in either mode, unless the value is one that asks for nothing."""

    why: Why
    inert: tuple[object, ...] = ()

    def __call__(self, value: object, path: Path, walk: Walk, /) -> object:
        if value is None or any(type(value) is type(same) and value == same for same in self.inert):
            return walk.drop(path)
        name = shown(path)
        raise UnknownField(f"'{name}' is refused: {self.why}.", param=name)


@dataclass(frozen=True, slots=True)
class Obj:
    """An object with listed fields only. A null is the same as an absent field."""

    fields: Mapping[str, Check]

    def __call__(self, value: object, path: Path, walk: Walk, /) -> dict[str, object]:
        if type(value) is not dict:
            raise wrong(path, "an object")
        out: dict[str, object] = {}
        checks = self.fields
        for key, item in value.items():
            check = checks.get(key)
            if check is None:
                _unlisted((path, key), walk)
            elif item is not None:
                kept = check(item, (path, key), walk)
                if kept is not OMIT:
                    out[key] = kept
        return out


def _unlisted(path: Path, walk: Walk) -> None:
    if walk.policy.unknown_fields == "drop":
        walk.drop(path)
        return
    name = shown(path)
    raise UnknownField(f"Unknown field '{name}'.", param=name)


@dataclass(frozen=True, slots=True)
class Tagged:
    """One of several objects, told apart by `type`; an unlisted kind is an error in either mode."""

    kinds: Mapping[str, Obj | Refused]
    default: str | None = None

    def __call__(self, value: object, path: Path, walk: Walk, /) -> object:
        if type(value) is not dict:
            raise wrong(path, "an object")
        tag = value.get("type", self.default)
        kind = self.kinds.get(tag) if type(tag) is str else None
        if type(kind) is Obj:
            return kind(value, path, walk)
        name = shown((path, "type"))
        reason = kind.why if type(kind) is Refused else Why.UNSUPPORTED
        raise UnsupportedValue(f"'{name}' {str(tag)[:MAX_SHOWN]!r} is refused: {reason}.", param=name)


@dataclass(frozen=True, slots=True)
class ListOf:
    check: Check

    def __call__(self, value: object, path: Path, walk: Walk, /) -> list[object]:
        if type(value) is not list:
            raise wrong(path, "an array")
        walk.items += len(value)
        if walk.items > walk.policy.max_items:
            raise beyond(path, f"shorter: the lists of a request have at most {walk.policy.max_items} items together")
        check = self.check
        return [check(item, (path, index), walk) for index, item in enumerate(value)]


@dataclass(frozen=True, slots=True)
class TextOr:
    """A string, or what the other check takes."""

    check: Check

    def __call__(self, value: object, path: Path, walk: Walk, /) -> object:
        return value if type(value) is str else self.check(value, path, walk)

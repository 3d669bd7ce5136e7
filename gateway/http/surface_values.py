"""Checks of single values and of the lists and maps whose size is a matter of cost or leakage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.http.surface_checks import Path, Walk, beyond, wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.http.surface_checks import Check, SurfacePolicy

    Cap = Callable[[SurfacePolicy], int]

_LARGEST: Final = 2.0**63
_TOKENS: Final = 2**31
"""Ids of tokens lie below it, whatever the vocabulary."""
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def text(value: object, path: Path, _walk: Walk, /) -> object:
    if type(value) is not str:
        raise wrong(path, "a string")
    return value


def flag(value: object, path: Path, _walk: Walk, /) -> object:
    if type(value) is not bool:
        raise wrong(path, "true or false")
    return value


def whole(value: object, path: Path, _walk: Walk, /) -> object:
    if type(value) is not int or not -_LARGEST <= value < _LARGEST:
        raise wrong(path, "an integer")
    return value


def count(value: object, path: Path, _walk: Walk, /) -> object:
    """Never negative: budgets are reserved from these before vLLM looks at them."""
    if type(value) is not int or not 0 <= value < _LARGEST:
        raise wrong(path, "an integer, zero or more")
    return value


def number(value: object, path: Path, _walk: Walk, /) -> object:
    # The comparison is false for NaN and the infinities, which Python's JSON parser lets in.
    if (type(value) is not float and type(value) is not int) or not -_LARGEST < value < _LARGEST:
        raise wrong(path, "a finite number")
    return value


def free_json(value: object, path: Path, walk: Walk, /) -> object:
    """JSON whose meaning is the client's (schemas, tool inputs, metadata): copied, bounded in depth and number."""
    return _copied(value, path, walk, walk.policy.max_depth)


def free_object(value: object, path: Path, walk: Walk, /) -> object:
    if type(value) is not dict:
        raise wrong(path, "an object")
    return _copied(value, path, walk, walk.policy.max_depth)


def _copied(value: object, path: Path, walk: Walk, depth: int) -> object:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if depth == 0:
        raise wrong(path, "nested less deeply")
    if type(value) is not dict and type(value) is not list:
        raise wrong(path, "plain JSON")
    walk.values += len(value)
    if walk.values > walk.policy.max_values:
        raise beyond(path, f"smaller: schemas and the like have at most {walk.policy.max_values} values together")
    if type(value) is dict:
        return {key: _copied(item, path, walk, depth - 1) for key, item in value.items()}
    return [_copied(item, path, walk, depth - 1) for item in value]


@dataclass(frozen=True, slots=True)
class OneOf:
    choices: frozenset[str]

    def __call__(self, value: object, path: Path, _walk: Walk, /) -> object:
        if type(value) is not str or value not in self.choices:
            raise wrong(path, "one of " + ", ".join(f"'{choice}'" for choice in sorted(self.choices)))
        return value


def one_of(*choices: str) -> OneOf:
    return OneOf(frozenset(choices))


@dataclass(frozen=True, slots=True)
class Between:
    """A whole number from `least` to what the policy allows; vLLM reads -1 as "all", so there is always a floor."""

    least: int
    cap: Cap

    def __call__(self, value: object, path: Path, walk: Walk, /) -> object:
        most = self.cap(walk.policy)
        if type(value) is not int or not self.least <= value <= most:
            raise (beyond if type(value) is int else wrong)(path, f"an integer between {self.least} and {most}")
        return value


@dataclass(frozen=True, slots=True)
class AtMost:
    """A list, string or map that another check accepts, no longer than the policy allows."""

    check: Check
    cap: Cap
    unit: str

    def __call__(self, value: object, path: Path, walk: Walk, /) -> object:
        most = self.cap(walk.policy)
        if type(value) in (list, str, dict) and len(value) > most:  # type: ignore[arg-type]
            raise beyond(path, f"at most {most} {self.unit}")
        return self.check(value, path, walk)


def token_ids(value: object, path: Path, _walk: Walk, /) -> object:
    if type(value) is not list or not set(map(type, value)) <= {int}:
        raise wrong(path, "an array of token ids")
    return _ids(value, path)


def _ids(value: list[int], path: Path) -> list[int]:
    if value and not 0 <= min(value) <= max(value) < _TOKENS:
        raise wrong(path, "an array of token ids")
    return value[:]


def prompts(value: object, path: Path, walk: Walk, /) -> object:
    """A completion prompt: text, token ids, or several of either; each of several is a sequence of its own."""
    if type(value) is str:
        return value
    if type(value) is not list:
        raise wrong(path, "a string or an array")
    kinds = set(map(type, value))
    if kinds <= {int}:
        return _ids(value, path)
    if len(value) > walk.policy.max_prompts:
        raise beyond(path, f"at most {walk.policy.max_prompts} prompts")
    if kinds == {str}:
        return value[:]
    if kinds == {list}:
        return [token_ids(item, (path, index), walk) for index, item in enumerate(value)]
    raise wrong(path, "a string, an array of strings, or token ids")


def token_biases(value: object, path: Path, walk: Walk, /) -> object:
    if type(value) is not dict:
        raise wrong(path, "an object")
    biases: Mapping[str, object] = value
    if len(biases) > walk.policy.max_logit_bias:
        raise beyond(path, f"at most {walk.policy.max_logit_bias} entries")
    out: dict[str, object] = {}
    for key, bias in biases.items():
        if not (key.isascii() and key.isdigit() and len(key) < 10):
            raise wrong(path, "an object whose keys are token ids")
        out[key] = number(bias, (path, key), walk)
    return out

"""Whatever is sent, an admitted body holds listed fields only, and shares no part with what was sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.http import surface_values
from gateway.http.surface import ROUTES, TABLES, SurfacePolicy, admit
from gateway.http.surface_checks import Ignored, ListOf, Obj, Refused, Tagged, TextOr
from gateway.http.surface_values import AtMost

FREE = {surface_values.free_json, surface_values.free_object, surface_values.token_biases}
LENIENT = SurfacePolicy(unknown_fields="drop", max_depth=4)


def names_in(check: Any) -> set[str]:
    match check:
        case Obj(fields):
            return set(fields).union(*map(names_in, fields.values()))
        case Tagged(kinds):
            return set().union(*map(names_in, kinds.values()))
        case ListOf(inner) | TextOr(inner) | AtMost(inner):
            return names_in(inner)
    return set()


def kinds_in(check: Any) -> set[str]:
    match check:
        case Obj(fields):
            return set().union(*map(kinds_in, fields.values()))
        case Tagged(kinds):
            return set(kinds).union(*map(kinds_in, kinds.values()))
        case ListOf(inner) | TextOr(inner) | AtMost(inner):
            return kinds_in(inner)
    return set()


def strangers(check: Any, value: Any, path: str = "") -> Iterator[str]:
    """Paths in `value` that the table does not let through, found without running any check."""
    match check:
        case Obj(fields):
            for key, item in value.items():
                inner = fields.get(key)
                if inner is None or isinstance(inner, Ignored | Refused):
                    yield f"{path}.{key}"
                else:
                    yield from strangers(inner, item, f"{path}.{key}")
        case Tagged(kinds, default):
            yield from strangers(kinds[value.get("type", default)], value, path)
        case ListOf(inner):
            for index, item in enumerate(value):
                yield from strangers(inner, item, f"{path}[{index}]")
        case TextOr(inner):
            if not isinstance(value, str):
                yield from strangers(inner, value, path)
        case AtMost(inner):
            yield from strangers(inner, value, path)
        case _:
            if isinstance(value, dict) and check not in FREE:
                yield path


def containers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        yield id(value)
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


WORDS = sorted(
    {
        "hi",
        "user",
        "assistant",
        "function",
        "json_schema",
        "auto",
        *set().union(*map(kinds_in, TABLES.values())),
    }
)


def scalars() -> st.SearchStrategy[Any]:
    return st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.sampled_from(WORDS)


def like(check: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911  one way out for each kind of check
    """Values that the check may take, with strangers strewn in."""
    match check:
        case Obj(fields):
            known = {key: like(inner) for key, inner in fields.items() if not isinstance(inner, Refused)}
            listed = st.fixed_dictionaries({}, optional={key: known[key] for key in sorted(known)})
            return st.tuples(listed, STRANGE).map(lambda pair: pair[1] | pair[0])
        case Tagged(kinds):
            allowed = [(kind, like(inner)) for kind, inner in kinds.items() if isinstance(inner, Obj)]
            return st.one_of([inner.map(lambda item, kind=kind: item | {"type": kind}) for kind, inner in allowed])
        case ListOf(inner):
            return st.lists(like(inner), max_size=2)
        case TextOr(inner):
            return st.just("text") | like(inner)
        case AtMost(inner):
            return like(inner)
        case surface_values.OneOf(choices):
            return st.sampled_from(sorted(choices))
        case surface_values.Between():
            return st.integers(1, 5)
    samples: dict[Any, st.SearchStrategy[Any]] = {
        surface_values.text: st.just("text"),
        surface_values.flag: st.booleans(),
        surface_values.whole: st.integers(-9, 9),
        surface_values.count: st.integers(0, 9),
        surface_values.number: st.floats(0, 1),
        surface_values.prompts: st.just("a") | st.lists(st.integers(0, 9)) | st.lists(st.lists(st.integers(0, 9))),
        surface_values.token_ids: st.lists(st.integers(0, 9)),
        surface_values.token_biases: st.dictionaries(st.sampled_from("12"), st.floats(-1, 1)),
        surface_values.free_object: st.dictionaries(st.sampled_from("ab"), scalars(), max_size=2),
    }
    return samples.get(check, scalars())


STRANGE: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["spell", "_backend", "type_", "Model", "model "]), scalars(), max_size=1
)

SLOW = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("path", TABLES)
def test_an_admitted_body_holds_listed_paths_only_and_nothing_of_the_senders(path: str) -> None:
    seen = 0

    @SLOW
    @given(body=like(TABLES[path]))
    def check(body: Any) -> None:
        nonlocal seen
        try:
            admitted = admit(ROUTES[path], body, LENIENT).body
        except InvalidRequest:
            return
        seen += 1
        admitted.pop("store", None)
        assert list(strangers(TABLES[path], admitted)) == []
        assert set(containers(body)).isdisjoint(containers(admitted))

    check()
    assert seen > 0


@pytest.mark.parametrize("path", TABLES)
def test_admitting_twice_changes_nothing(path: str) -> None:
    @SLOW
    @given(body=like(TABLES[path]))
    def check(body: Any) -> None:
        try:
            once = admit(ROUTES[path], body, LENIENT).body
        except InvalidRequest:
            return
        assert admit(ROUTES[path], once, SurfacePolicy(max_depth=4)).body == once

    check()


@pytest.mark.parametrize("path", TABLES)
def test_arbitrary_json_under_known_names_is_admitted_or_refused_but_never_fails(path: str) -> None:
    names = st.sampled_from(sorted({"type", *names_in(TABLES[path])}))
    anything = st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    )

    @SLOW
    @given(body=st.dictionaries(names, anything, max_size=4))
    def check(body: Any) -> None:
        try:
            admitted = admit(ROUTES[path], body, LENIENT).body
        except InvalidRequest:
            return
        admitted.pop("store", None)
        assert list(strangers(TABLES[path], admitted)) == []

    check()

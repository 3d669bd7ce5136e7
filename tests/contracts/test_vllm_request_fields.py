"""Every field of vLLM's request schemas has been decided about: a new vLLM cannot widen the surface unseen."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.http.surface import TABLES
from gateway.http.surface_checks import Ignored, ListOf, Obj, Refused, Tagged, TextOr
from gateway.http.surface_values import AtMost

pytest.importorskip("vllm")


@pytest.fixture(scope="module")
def schemas() -> dict[str, type[BaseModel]]:
    from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

    return {
        "/v1/chat/completions": ChatCompletionRequest,
        "/v1/completions": CompletionRequest,
        "/v1/responses": ResponsesRequest,
        "/v1/messages": AnthropicMessagesRequest,
    }


def fields_of(schema: type) -> dict[str, Any]:
    """Names on the wire, and their annotations; empty for what is not an object."""
    if not isinstance(schema, type):
        return {}
    if issubclass(schema, BaseModel):
        return {field.alias or name: field.annotation for name, field in schema.model_fields.items()}
    if typing.is_typeddict(schema):
        return typing.get_type_hints(schema, include_extras=True)
    if dataclasses.is_dataclass(schema):
        hints = typing.get_type_hints(schema)
        return {field.name: hints[field.name] for field in dataclasses.fields(schema) if field.init}
    return {}


def objects_in(annotation: Any) -> Iterator[type]:
    if fields_of(annotation):
        yield annotation
    inside = typing.get_args(annotation)
    for inner in inside[:1] if typing.get_origin(annotation) is typing.Annotated else inside:
        yield from objects_in(inner)


def words_in(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from (word for word in typing.get_args(annotation) if isinstance(word, str))
    else:
        for inner in typing.get_args(annotation):
            yield from words_in(inner)


def undecided(schema: type, kinds: list[Obj], path: str, seen: set[Any]) -> Iterator[str]:
    """Fields of the schema on which none of the tables says anything."""
    key = (schema, *map(id, kinds))
    if key in seen:
        return
    seen.add(key)
    for name, annotation in fields_of(schema).items():
        checks = [kind.fields[name] for kind in kinds if name in kind.fields]
        if not checks:
            yield f"{path}.{name} ({schema.__name__})"
        for check in checks:
            yield from undecided_below(annotation, check, f"{path}.{name}", seen)


def undecided_below(annotation: Any, check: Any, path: str, seen: set[Any]) -> Iterator[str]:
    while isinstance(check, TextOr | AtMost | ListOf):
        check = check.check
    for schema in objects_in(annotation) if isinstance(check, Obj | Tagged) else ():
        if isinstance(check, Obj):
            yield from undecided(schema, [check], path, seen)
            continue
        tags = sorted(words_in(fields_of(schema).get("type")))
        yield from (f"{path}: type '{tag}' ({schema.__name__})" for tag in tags if tag not in check.kinds)
        known = [kind for tag in tags if isinstance(kind := check.kinds.get(tag), Obj)]
        if known:
            yield from undecided(schema, known, path, seen)


@pytest.mark.parametrize("path", TABLES)
def test_every_field_and_kind_that_vllm_reads_is_decided(path: str, schemas: dict[str, type[BaseModel]]) -> None:
    missing = sorted(set(undecided(schemas[path], [TABLES[path]], "", set())))
    assert not missing, "Decide on these in gateway/http/surface_*.py:\n" + "\n".join(missing)


@pytest.mark.parametrize("path", TABLES)
def test_nothing_is_admitted_that_vllm_would_silently_ignore(path: str, schemas: dict[str, type[BaseModel]]) -> None:
    admitted = {name for name, check in TABLES[path].fields.items() if not isinstance(check, Ignored | Refused)}
    assert admitted - set(fields_of(schemas[path])) == set()


def test_a_field_that_nobody_decided_on_is_found_at_any_depth() -> None:
    class Inner(BaseModel):
        known: int = 0
        fresh: int = 0

    class Outer(BaseModel):
        inner: list[Inner] | None = None

    table = Obj({"inner": ListOf(Obj({"known": Ignored()}))})
    assert list(undecided(Outer, [table], "", set())) == [".inner.fresh (Inner)"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x"}], "structured_outputs": {"regex": "a"}},
        ),
        ("/v1/completions", {"prompt": [[1, 2], [3]], "logprobs": 2}),
        (
            "/v1/responses",
            {
                "input": [
                    {"role": "user", "content": "x"},
                    {
                        "type": "reasoning",
                        "summary": [],
                        "content": [{"type": "reasoning_text", "text": "y"}],
                    },
                    {
                        "role": "assistant",
                        "type": "message",
                        "content": [{"type": "output_text", "text": "z"}],
                    },
                    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                    {"type": "function_call_output", "call_id": "c", "output": "4"},
                ],
                "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
                "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
                "reasoning": {"effort": "low"},
            },
        ),
        (
            "/v1/messages",
            {
                "max_tokens": 9,
                "messages": [
                    {
                        "role": "assistant",
                        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
                    },
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t",
                                "content": [{"type": "text", "text": "4"}],
                            }
                        ],
                    },
                ],
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            },
        ),
    ],
)
def test_an_admitted_body_is_valid_for_vllm(
    path: str, body: dict[str, Any], schemas: dict[str, type[BaseModel]]
) -> None:
    from gateway.http.surface import ROUTES, SurfacePolicy, admit

    admitted = admit(ROUTES[path], {"model": "m", **body}, SurfacePolicy())
    schemas[path].model_validate(admitted.body)

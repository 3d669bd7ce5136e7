"""The rule of gateway/guard/exclusion.py knows every way in which the installed vLLM makes a grammar of a request's tools."""

from collections.abc import Iterator
from typing import Any

import pytest

from deployments.demo_model import BF16
from gateway.guard.exclusion import ask_of
from gateway.http.surface import ROUTES, TABLES, SurfacePolicy, admit
from gateway.http.surface_checks import ListOf, Obj, Tagged, TextOr
from gateway.http.surface_values import AtMost, OneOf, flag

pytest.importorskip("vllm")

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
SCHEMA = {"type": "object", "properties": {"x": {"type": "string", "enum": ["a", "b"]}}}
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    },
    RESPONSES: {"input": "Hello", "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]},
    MESSAGES: {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"name": "f", "input_schema": SCHEMA}],
    },
}
CHOICES: dict[str, list[Any]] = {
    CHAT: [None, "auto", "none", "required", {"type": "function", "function": {"name": "f"}}],
    RESPONSES: [None, "auto", "none", "required", {"type": "function", "name": "f"}],
    MESSAGES: [
        None,
        *({"type": kind} for kind in ("auto", "none", "any")),
        {"type": "tool", "name": "f"},
        {"type": "auto", "disable_parallel_tool_use": True},
        {"type": "auto", "disable_parallel_tool_use": False},
    ],
}
SHAPES: dict[str, list[dict[str, Any]]] = {
    CHAT: [
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        {"structured_outputs": {"choice": ["a", "b"]}},
        {"reasoning_effort": "high"},
    ],
    RESPONSES: [
        {"text": {"format": {"type": "text"}}},
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        {"reasoning": {"effort": "high"}},
        {"max_tool_calls": 1},
    ],
    MESSAGES: [
        {"output_config": {"effort": "high"}},
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"thinking": {"type": "enabled", "budget_tokens": 5}},
    ],
}


def switches(check: Any) -> Iterator[tuple[str, Any]]:
    """Every flag and every word of an object's table, with each value that it takes."""
    while isinstance(check, TextOr | AtMost | ListOf):
        check = check.check
    if isinstance(check, Tagged):
        check = check.kinds["function"]
    for name, of in check.fields.items() if isinstance(check, Obj) else ():
        values: Any = (True, False) if of is flag else sorted(of.choices) if isinstance(of, OneOf) else ()
        yield from ((name, value) for value in values)


def with_tool(body: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    (tool,) = body["tools"]
    told = {"function": tool["function"] | {name: value}} if "function" in tool else {name: value}
    return body | {"tools": [tool | told]}


def requests(path: str) -> Iterator[dict[str, Any]]:
    table, plain = TABLES[path], BODIES[path]
    of_tools: Any = table.fields["tools"]
    if path == CHAT:
        of_tools = of_tools.check.check.fields["function"]
    offered = [plain, *(with_tool(plain, *switch) for switch in switches(of_tools))]
    asked = [{}, *(dict([switch]) for switch in switches(table)), *SHAPES[path]]
    for body in offered:
        for choice in CHOICES[path]:
            for more in asked:
                yield body | more | ({} if choice is None else {"tool_choice": choice})


@pytest.fixture(scope="module")
def hermes() -> Any:
    from transformers import AutoTokenizer
    from vllm.parser.parser_manager import ParserManager

    return ParserManager.get_parser("hermes", None, enable_auto_tools=True), AutoTokenizer.from_pretrained(BF16)


def makes_a_grammar(path: str, body: dict[str, Any], hermes: Any) -> bool | None:
    """As vLLM's serving layer does before it renders; None if it refuses the request."""
    from pydantic import ValidationError
    from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
    from vllm.entrypoints.anthropic.serving import AnthropicServingMessages
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
    from vllm.exceptions import VLLMValidationError

    request: Any
    try:
        if path == MESSAGES:
            asked = AnthropicMessagesRequest.model_validate(body)
            request = AnthropicServingMessages.to_chat_completion_request(asked)
        else:
            request = (ChatCompletionRequest if path == CHAT else ResponsesRequest).model_validate(body)
        parser, tokenizer = hermes
        if request.tool_choice != "none":
            request = parser(tokenizer, request.tools).adjust_request(request)
    except (ValidationError, VLLMValidationError):
        return None
    return request.to_sampling_params(9, {}).structured_outputs is not None


@pytest.mark.parametrize("path", BODIES)
def test_what_vllm_makes_a_grammar_of_is_known_and_charged_and_nothing_else(path: str, hermes: Any) -> None:
    seen = {True: 0, False: 0}
    for body in requests(path):
        admitted = admit(ROUTES[path], {"model": "m", **body}, SurfacePolicy()).body
        held = ask_of(admitted).constraint
        made = makes_a_grammar(path, admitted, hermes)
        if made is not None:
            seen[made] += 1
            assert (held is not None) == made, (held, body)
    assert min(seen.values()) > 10


def test_a_parser_that_makes_a_grammar_of_all_tools_is_found_when_the_model_is_opened(hermes: Any) -> None:
    from vllm.parser.abstract_parser import DelegatingParser
    from vllm.tool_parsers.hermes_tool_parser import Hermes2ProToolParser
    from vllm.tool_parsers.tool_strict_level import ToolStrictLevel

    from gateway.http.tool_grammar import binds_all_tools

    class Eager(Hermes2ProToolParser):
        default_tool_strict_level = ToolStrictLevel.FUNCTION

    class Eagerly(DelegatingParser):
        tool_parser_cls = Eager

    class Broken(DelegatingParser):
        def adjust_request(self, request: Any) -> Any:
            raise ValueError(request)

    parser, tokenizer = hermes
    assert not binds_all_tools(parser, tokenizer, None)
    assert not binds_all_tools(None, tokenizer, None)
    assert binds_all_tools(Eagerly, tokenizer, None)
    assert binds_all_tools(Broken, tokenizer, None)

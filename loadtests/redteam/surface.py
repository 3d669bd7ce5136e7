"""R13: every field that the installed vLLM knows, every route that leaks, and fields that nobody knows, sent one at a time.

Foreign fields stand in a body's own objects as well: in a message, a tool, a format.
"""

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Final

from loadtests.client import Connection, post
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.target import CHAT, COMPLETIONS, HOST, PATIENCE_S

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
ORDINARY: Final = frozenset(
    """
    model messages prompt input instructions system max_tokens max_completion_tokens max_output_tokens min_tokens n stream
    stream_options stream_interval temperature top_p top_k min_p presence_penalty frequency_penalty repetition_penalty seed stop
    stop_token_ids stop_sequences ignore_eos skip_special_tokens spaces_between_special_tokens include_stop_str_in_output
    logprobs top_logprobs logit_bias tools tool_choice parallel_tool_calls max_tool_calls response_format structured_outputs text
    reasoning reasoning_effort include_reasoning thinking output_config user metadata service_tier safety_identifier store
    prompt_cache_key prompt_cache_retention prompt_cache_options verbosity prediction context_management truncation include
    background inference_geo cache_control
    """.split()
)
"""What clients of the OpenAI and Anthropic dialects send, or what only shapes the sampling. All other fields must be refused."""

VALUES: Final[Mapping[str, Any]] = {
    "logprob_token_ids": [300, 301],
    "prompt_logprobs": 5,
    "allowed_token_ids": [300, 301],
    "bad_words": ["a"],
    "cache_salt": "of-another-tenant",
    "kv_transfer_params": {"do_remote_decode": True},
    "vllm_xargs": {"x": 1},
    "chat_template": "{{ messages }}",
    "chat_template_kwargs": {"x": 1},
    "priority": -1,
    "request_id": "mine",
    "truncate_prompt_tokens": 1,
    "echo": True,
}
_SAID: Final = {"role": "user", "content": "What is 2 + 2?"}
_SCHEMA: Final = {"type": "object", "properties": {}}
OBJECTS: Final[tuple[tuple[str, str, Any], ...]] = (
    (CHAT, "messages", [_SAID]),
    (CHAT, "structured_outputs", {"choice": ["a", "b"]}),
    (CHAT, "response_format", {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA}}),
    (CHAT, "stream_options", {"include_usage": True}),
    (CHAT, "tools", [{"type": "function", "function": {"name": "f", "parameters": _SCHEMA}}]),
    (COMPLETIONS, "structured_outputs", {"choice": ["a", "b"]}),
    (RESPONSES, "input", [_SAID]),
    (RESPONSES, "text", {"format": {"type": "text"}}),
    (RESPONSES, "reasoning", {"effort": "low"}),
    (RESPONSES, "tools", [{"type": "function", "name": "f", "parameters": _SCHEMA}]),
    (MESSAGES, "messages", [_SAID]),
    (MESSAGES, "tools", [{"name": "f", "input_schema": _SCHEMA}]),
    (MESSAGES, "thinking", {"type": "disabled"}),
    (MESSAGES, "output_config", {"effort": "low"}),
)
"""Ordinary values of fields that are objects, or lists of them."""
KNOWN_INSIDE: Final[Mapping[str, Mapping[str, Any]]] = {
    "messages": {"prompt_embeds": "x", "chat_template": "x"},
    "structured_outputs": {"whitespace_pattern": "x", "structural_tag": "{}", "_backend": "guidance"},
    "response_format": {"structures": [], "triggers": ["x"], "format": {"type": "any_text"}},
    "stream_options": {"continuous_usage_stats": True},
    "tools": {"allowed_callers": ["x"], "definition": {"name": "g"}},
}
"""What vLLM, or a later one, may read there."""
ROUTES: Final = (
    "/tokenize", "/detokenize", "/tokenizer_info", "/pooling", "/score", "/v1/score", "/rerank", "/v1/embeddings", "/metrics",
    "/inference/v1/generate", "/generative_scoring", "/v1/chat/completions/batch", "/v1/chat/completions/render",
    "/v1/completions/render", "/v1/load_lora_adapter", "/collective_rpc", "/server_info", "/reset_prefix_cache", "/sleep",
    "/start_profile", "/update_weights", "/weight_info", "/scale_elastic_ep", "/invocations", "/load", "/version", "/docs",
    "/openapi.json",
)  # fmt: skip


async def fuzz(scene: Scene) -> Finding:
    """Success: at least one foreign field or route gets through."""
    accepted, tried = [], 0
    for path, field, value in (*foreign_fields(), *nested_fields()):
        tried += 1
        exchange = await scene.target.send(path, plain(path) | {field: value})
        if exchange.status == 200:
            accepted.append(f"{path} {field}")
    routes = [path for path in ROUTES if await _answers(scene, path)]
    measure = f"{len(accepted)} of {tried} foreign fields and {len(routes)} of {len(ROUTES)} routes accepted"
    return Finding(
        bool(accepted or routes),
        measure + (f", such as {', '.join((accepted or routes)[:3])}" if accepted or routes else ""),
        {"fields tried": tried, "fields accepted": len(accepted), "routes": len(routes)},
    )


def foreign_fields() -> Iterator[tuple[str, str, Any]]:
    """(path, field, a value that its schema takes) for all of vLLM's request schemas but ORDINARY, and some invented ones."""
    for path, schema in schemas().items():
        for name, described in schema.model_fields.items():
            if name not in ORDINARY:
                yield path, name, VALUES.get(name, _value(described.annotation, described.default))
        for name in ("logprob_token_ids_", "__class__", "extra_body", "Cache_Salt", "sampling_params"):
            yield path, name, {"logprob_token_ids": [1]}


def nested_fields() -> Iterator[tuple[str, str, Any]]:
    """(path, field, a value that would be ordinary without one field in it), of OBJECTS, and of a content part and a function."""
    for path, field, value in OBJECTS:
        lists = isinstance(value, list)
        inner = value[0] if lists else value
        for name, foreign in (*KNOWN_INSIDE.get(field, {}).items(), ("logprob_token_ids", [300, 301])):
            one = {**inner, name: foreign}
            yield path, field, [one] if lists else one
    for path in (CHAT, MESSAGES):
        part = {"type": "text", "text": "What is 2 + 2?", "logprob_token_ids": [300, 301]}
        yield path, "messages", [{"role": "user", "content": [part]}]
    function = {"name": "f", "logprob_token_ids": [300, 301]}
    yield CHAT, "tools", [{"type": "function", "function": function}]


def schemas() -> dict[str, Any]:
    """vLLM's own request models by path."""
    from vllm.entrypoints.anthropic.protocol import AnthropicMessagesRequest
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest
    from vllm.entrypoints.openai.responses.protocol import ResponsesRequest

    return {
        CHAT: ChatCompletionRequest,
        COMPLETIONS: CompletionRequest,
        RESPONSES: ResponsesRequest,
        MESSAGES: AnthropicMessagesRequest,
    }


def _value(annotation: Any, default: Any) -> Any:
    """Something of that type which is not the default."""
    kinds = {bool: default is not True, int: 1, float: 0.5, str: "x", list: ["x"], dict: {"x": "y"}}
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else (annotation,)
    )
    for option in options:
        origin = typing.get_origin(option) or option
        if origin is typing.Literal:
            return typing.get_args(option)[0]
        if origin in kinds:
            return kinds[origin]
    return "x"


def plain(path: str) -> dict[str, Any]:
    talk = [{"role": "user", "content": "What is 2 + 2?"}]
    match path:
        case "/v1/completions":
            return {"prompt": "What is 2 + 2?", "max_tokens": 1}
        case "/v1/responses":
            return {"input": "What is 2 + 2?", "max_output_tokens": 16}
        case _:
            return {"messages": talk, "max_tokens": 1}


async def _answers(scene: Scene, path: str) -> bool:
    """Whether a route exists: anything but 404 and 405. A GET and a POST are tried, on connections of their own. One that is lost
    says nothing of the route, and is put down as a refusal.
    """
    key = scene.target.keys[0]
    get = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    for request in (get, post(HOST, path, {"model": scene.target.model, "prompt": "x"}, key)):
        connection = await Connection.to(HOST, scene.target.port)
        exchange = await connection.ask(request, PATIENCE_S)
        connection.close()
        if not exchange.status:
            scene.target.books.refused(scene.target.books.requests, exchange.error or "no answer", path)
        elif exchange.status not in (404, 405):
            return True
    return False

"""R13: every field that the installed vLLM knows, every route that leaks, and fields that nobody knows, sent one at a time."""

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
    for path, field, value in foreign_fields():
        tried += 1
        exchange = await scene.target.send(path, _plain(path) | {field: value})
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


def _plain(path: str) -> dict[str, Any]:
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

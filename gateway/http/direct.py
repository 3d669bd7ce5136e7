"""Plain chat and completion streams, written straight from the engine's outputs.

vLLM's serving layer still validates, renders and starts the request; only its stream generator is replaced, per request, by a tap
in the output processor. Everything that needs more than text (tools, logprobs, several choices, reasoning) stays with vLLM.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.exceptions import VLLMError
from vllm.parser.abstract_parser import DelegatingParser
from vllm.parser.engine.adapters import ParserEngineToolAdapter

from gateway.errors import HttpError, Internal
from gateway.http.chunks import DONE, ChatChunks, Chunks, CompletionChunks, Head
from gateway.http.sse_writer import SseWriter
from gateway.http.vllm_errors import vllm_error_text
from gateway.pool.context import RequestContext, current

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
# What a plain stream may ask for: fields that change which tokens come, not how they are told.
PLAIN = frozenset(
    """model messages prompt stream stream_options max_tokens max_completion_tokens min_tokens temperature top_p top_k min_p
    presence_penalty frequency_penalty repetition_penalty seed stop stop_token_ids include_stop_str_in_output ignore_eos
    skip_special_tokens spaces_between_special_tokens logit_bias n response_format structured_outputs user""".split()
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Started:
    """What vLLM's layer has made of a request: an iterator over its outputs, and the stream's head."""

    outputs: AsyncIterator[Any]
    head: Head


class Tap:
    """One chunk for each piece of text; chunks that are there at the same time leave in one write."""

    def __init__(self, chunks: Chunks, writer: SseWriter) -> None:
        self._chunks = chunks
        self._writer = writer
        self._pending: list[bytes] = [chunks.first()]
        self.tokens = 0

    def on_text(self, text: str, tokens: int) -> None:
        self._pending.append(self._chunks.piece(text))
        self.tokens += tokens

    def flush(self) -> None:
        self._writer.write(self.take())

    def take(self) -> bytes:
        """What has not been written yet, the stream's first chunk included."""
        pending, self._pending = b"".join(self._pending), []
        return pending


class DirectStreams:
    """One per model. Constructing it puts our stream generators in place of vLLM's on the app's serving objects."""

    def __init__(self, state: Any) -> None:
        self._chat = state.openai_serving_chat
        self._completion = state.openai_serving_completion
        self._parsed = self._chat.parser_cls is not None
        self._chat_is_plain = not self._parsed or _passes_text_on(self._chat.parser_cls)
        self._vllm_chat = self._chat.chat_completion_stream_generator
        self._vllm_completion = self._completion.completion_stream_generator
        self._chat.chat_completion_stream_generator = self._on_chat
        self._completion.completion_stream_generator = self._on_completion

    def takes(self, path: str, body: dict[str, Any]) -> bool:
        """Whether a request is a plain stream."""
        if body.get("stream") is not True or body.get("n", 1) != 1 or not body.keys() <= PLAIN:
            return False
        prompt = body.get("prompt")
        several = isinstance(prompt, list) and len(prompt) > 0 and not isinstance(prompt[0], int)
        return (path == CHAT and self._chat_is_plain) or (path == COMPLETIONS and not several)

    async def run(self, path: str, body: dict[str, Any], writer: SseWriter, context: RequestContext) -> bool:
        """False if vLLM's own layer must answer after all: nothing has been sent then, and it words its own refusal."""
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        started = await self._start(path, {**body, "request_id": writer.reply.request_id}, context)
        if started is None:
            return False
        chunks: Chunks
        if path == CHAT:
            chunks = ChatChunks(started.head, parsed=self._parsed, usage=usage)
        else:
            chunks = CompletionChunks(started.head, usage=usage)
        context.tap = tap = Tap(chunks, writer)
        last = await self._last_output(started, context)
        output = last.outputs[0]
        if output.finish_reason == "error":
            writer.write(tap.take() if tap.tokens else b"")
            await writer.flushed()
            raise context.failure or Internal("generation failed")
        tail = tap.take() + chunks.last(output.text, output.finish_reason, output.stop_reason)
        tail += chunks.totals(len(last.prompt_token_ids), tap.tokens + len(output.token_ids)) + DONE
        writer.write(tail)
        await writer.flushed()
        await writer.reply.end()
        return True

    async def _start(self, path: str, body: dict[str, Any], context: RequestContext) -> Started | None:
        context.direct = True
        try:
            if path == CHAT:
                result = await self._chat.create_chat_completion(ChatCompletionRequest.model_validate(body))
            else:
                result = await self._completion.create_completion(CompletionRequest.model_validate(body))
        except Exception as exc:  # noqa: BLE001  whatever it refuses, its own handlers find the words for, from the same body
            log.debug("direct_stream_refused", error=type(exc).__name__)
            result = None
        context.direct = False
        return result if isinstance(result, Started) else None

    async def _last_output(self, started: Started, context: RequestContext) -> Any:
        """Drive the request. The tap has taken every output but the last, which alone comes through here."""
        try:
            last = None
            async for output in started.outputs:
                last = output
        except HttpError:
            raise
        except Exception as exc:
            if context.failure is not None:
                raise context.failure from exc
            if not isinstance(exc, VLLMError):
                raise
            described: str = self._chat.create_streaming_error_response(exc)
            raise vllm_error_text(described.encode()) from exc
        if last is None:
            raise Internal("no output")
        return last

    def _on_chat(self, request: Any, outputs: Any, request_id: str, model: str, *args: Any, **more: Any) -> Any:
        if not _direct():
            return self._vllm_chat(request, outputs, request_id, model, *args, **more)
        return Started(outputs, _head(self._chat, request_id, model, int(time.time())))

    def _on_completion(
        self, request: Any, inputs: Any, outputs: Any, request_id: str, created: int, model: str, **more: Any
    ) -> Any:
        if not _direct():
            return self._vllm_completion(request, inputs, outputs, request_id, created, model, **more)
        return Started(_values(outputs), _head(self._completion, request_id, model, created))


def _head(serving: Any, request_id: str, model: str, created: int) -> Head:
    return Head(request_id, created, model, serving.system_fingerprint)


def _direct() -> bool:
    context = current.get()
    return context is not None and context.direct


def _passes_text_on(parser: Any) -> bool:
    """Whether, without tools in the request, a configured parser hands every piece of text on as it is."""
    plain = parser.parse_delta is DelegatingParser.parse_delta and parser.reasoning_parser_cls is None
    return plain and not issubclass(parser.tool_parser_cls, ParserEngineToolAdapter)


async def _values(outputs: AsyncIterator[tuple[int, Any]]) -> AsyncIterator[Any]:
    async for _, output in outputs:
        yield output

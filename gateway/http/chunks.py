"""The chunks of plain streams, byte for byte as vLLM's serving layer writes them, without building its models per token.

tests/contracts/test_direct_stream.py holds them equal to vLLM's own, chunk by chunk.
"""

from dataclasses import dataclass

import msgspec

DONE = b"data: [DONE]\n\n"
_json = msgspec.json.encode


@dataclass(frozen=True, slots=True)
class Head:
    """What all chunks of a stream share. `created` in seconds; `fingerprint` is vLLM's own."""

    request_id: str
    created: int
    model: str
    fingerprint: str | None


class ChatChunks:
    """`parsed`: a tool parser is configured, which swallows deltas that carry no text."""

    def __init__(self, head: Head, *, parsed: bool, usage: bool) -> None:
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,' % (
            _json(head.request_id),
            head.created,
            _json(head.model),
        )
        self._before = self._head + b'"choices":[{"index":0,"delta":{"content":'
        self._parsed = parsed
        self._usage = usage
        self._fingerprint = _fingerprint(head)

    def first(self) -> bytes:
        return (
            self._head
            + b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],'
            + b'"prompt_token_ids":null,"prompt_text":null}\n\n'
        )

    def piece(self, text: str) -> bytes:
        if not text and self._parsed:
            return b""
        return self._before + _json(text) + b'},"logprobs":null,"finish_reason":null,"token_ids":null}]}\n\n'

    def last(self, text: str, finish_reason: str, stop_reason: int | str | None) -> bytes:
        delta = b'"choices":[{"index":0,"delta":{' + (b"" if not text and self._parsed else b'"content":' + _json(text))
        end = b'},"logprobs":null,"finish_reason":%b,"stop_reason":%b,"token_ids":null}]%b}\n\n' % (
            _json(finish_reason),
            _json(stop_reason),
            b"" if self._usage else self._fingerprint,
        )
        return self._head + delta + end

    def totals(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        """The usage chunk; empty unless the client asked for it."""
        if not self._usage:
            return b""
        return self._head + b'"choices":[],' + _usage(prompt_tokens, completion_tokens) + self._fingerprint + b"}\n\n"


class CompletionChunks:
    def __init__(self, head: Head, *, usage: bool) -> None:
        self._head = b'data: {"id":%b,"object":"text_completion","created":%d,"model":%b,' % (
            _json(head.request_id),
            head.created,
            _json(head.model),
        )
        self._before = self._head + b'"choices":[{"index":0,"text":'
        self._usage = usage
        self._fingerprint = _fingerprint(head)

    def first(self) -> bytes:
        return b""

    def piece(self, text: str) -> bytes:
        return (
            self._before
            + _json(text)
            + b',"logprobs":null,"finish_reason":null,"stop_reason":null,"prompt_token_ids":null,"token_ids":null}]}\n\n'
        )

    def last(self, text: str, finish_reason: str, stop_reason: int | str | None) -> bytes:
        end = (
            b',"logprobs":null,"finish_reason":%b,"stop_reason":%b,"prompt_token_ids":null,"token_ids":null}]%b}\n\n'
            % (
                _json(finish_reason),
                _json(stop_reason),
                b"" if self._usage else self._fingerprint,
            )
        )
        return self._before + _json(text) + end

    def totals(self, prompt_tokens: int, completion_tokens: int) -> bytes:
        if not self._usage:
            return b""
        return self._head + b'"choices":[],' + _usage(prompt_tokens, completion_tokens) + self._fingerprint + b"}\n\n"


Chunks = ChatChunks | CompletionChunks


def _fingerprint(head: Head) -> bytes:
    return b"" if head.fingerprint is None else b',"system_fingerprint":' + _json(head.fingerprint)


def _usage(prompt_tokens: int, completion_tokens: int) -> bytes:
    total = prompt_tokens + completion_tokens
    return b'"usage":{"prompt_tokens":%d,"total_tokens":%d,"completion_tokens":%d}' % (
        prompt_tokens,
        total,
        completion_tokens,
    )

"""Reads what a streamed chat completion brought: done after the measurement, since it decodes every event."""

import statistics
from dataclasses import dataclass, field
from typing import Any

import msgspec

from loadtests.client import Exchange


@dataclass(slots=True)
class ChatStream:
    """`ttft_s` is from sending to the first event with text; `gaps_s` lie between events that carry tokens."""

    text: str = ""
    tokens: int = 0
    token_events: int = 0
    ttft_s: float = 0.0
    gaps_s: list[float] = field(default_factory=list)
    finish_reasons: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def mean_gap_s(self) -> float:
        return statistics.fmean(self.gaps_s) if self.gaps_s else 0.0


def request_body(model: str, prompt: str, max_tokens: int) -> dict[str, Any]:
    """Greedy, exactly `max_tokens` long, and with a usage event that proves it."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "ignore_eos": True,
        "max_tokens": max_tokens,
    }


def read_chat(exchange: Exchange, expected_tokens: int) -> ChatStream:
    """`problem` is empty for a complete stream: status 200, one finish reason, exact usage, [DONE] last."""
    stream = ChatStream()
    try:
        _read_events(exchange, stream)
    except (msgspec.DecodeError, KeyError, IndexError, TypeError) as exc:
        stream.problem = f"event not understood: {type(exc).__name__}: {exc}"
    stream.problem = stream.problem or _problem(exchange, stream, expected_tokens)
    return stream


def _read_events(exchange: Exchange, stream: ChatStream) -> None:
    texts: list[str] = []
    last: float | None = None
    for at, event in zip(exchange.arrivals, exchange.events, strict=True):
        if event == b"[DONE]":
            continue
        chunk = msgspec.json.decode(event)
        if "error" in chunk:
            stream.problem = f"error event: {event[:200]!r}"
            return
        if chunk.get("usage"):
            stream.tokens = chunk["usage"]["completion_tokens"]
        for choice in chunk["choices"]:
            text = choice["delta"].get("content") or ""
            if choice.get("finish_reason"):
                stream.finish_reasons.append(choice["finish_reason"])
            if not text and "role" in choice["delta"]:
                continue
            if text and not stream.ttft_s:
                stream.ttft_s = at - exchange.sent
            texts.append(text)
            if last is not None:
                stream.gaps_s.append(at - last)
            last = at
            stream.token_events += 1
    stream.text = "".join(texts)


def _problem(exchange: Exchange, stream: ChatStream, expected_tokens: int) -> str:
    if exchange.error:
        return exchange.error
    if exchange.status != 200:
        return f"status {exchange.status}: {exchange.body[:200]!r}"
    if stream.finish_reasons != ["length"]:
        return f"finish reasons {stream.finish_reasons}"
    if stream.tokens != expected_tokens:
        return f"{stream.tokens} tokens instead of {expected_tokens}"
    if exchange.events[-1] != b"[DONE]":
        return "no [DONE] at the end"
    return ""

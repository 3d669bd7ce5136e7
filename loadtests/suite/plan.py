"""What a persona is about to send, and what would be a right answer to it."""

from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from loadtests.suite.client import Leave

CHAT = "/v1/chat/completions"
Key = Literal["main", "metered", "extractor", "wrong", "none"]


@dataclass(frozen=True)
class Plan:
    """One request. `body` is an object, or bytes to be sent as they are.

    `exact`: it generates exactly `max_tokens` tokens. `statuses`: the right ones; 429 and 503 are honoured and tried again
    unless they are among them. `choices`: the only right texts, if not empty. `calls`: it should call a tool, and that is counted.
    `again`: names a greedy request that is made again and again, and must get the same text each time; empty: it is made once.
    """

    body: dict[str, Any] | bytes
    method: str = "POST"
    path: str = CHAT
    headers: dict[str, str] = field(default_factory=dict)
    key: Key = "main"
    max_tokens: int = 0
    exact: bool = False
    statuses: frozenset[int] = frozenset({200})
    leave: Leave | None = None
    choices: tuple[str, ...] = ()
    calls: bool = False
    again: str = ""

    @property
    def inference(self) -> bool:
        return self.path == CHAT

    @property
    def stream(self) -> bool:
        return isinstance(self.body, dict) and self.body.get("stream") is True

    @property
    def tools(self) -> frozenset[str]:
        """Names of what it offers."""
        offered = self.body.get("tools") if isinstance(self.body, dict) else None
        return frozenset(tool["function"]["name"] for tool in offered or ())

    @property
    def usage(self) -> bool:
        return isinstance(self.body, dict) and bool((self.body.get("stream_options") or {}).get("include_usage"))

    def payload(self, host: str, key: str) -> bytes:
        """The whole HTTP/1.1 request; an empty `key` sends none."""
        content = self.body if isinstance(self.body, bytes) else msgspec.json.encode(self.body)
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(content)}"] + ([f"Authorization: Bearer {key}"] if key else [])
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def chat(
    model: str, messages: list[dict[str, Any]], max_tokens: int, *, exact: bool = False, **more: Any
) -> dict[str, Any]:
    """A greedy streamed chat completion with usage; `exact` forbids an early end."""
    body = {
        "model": model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "max_tokens": max_tokens,
    }
    return body | ({"ignore_eos": True} if exact else {}) | more

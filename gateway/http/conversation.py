"""The texts of a request, whatever its route and wherever in it they stand: what the guard hashes, and nothing else reads."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway.guard.observation import digest, shortened

MOST: Final = 64
"""Messages that are looked at, at least; of a conversation that is longer by so many, what came before is one number."""
MADE: Final = frozenset({"function_call", "custom_tool_call", "reasoning"})
"""Items without a role that a model has made; the others are what its tools gave."""
UNREAD: Final = frozenset({"role", "type", "id", "call_id", "tool_call_id", "tool_use_id", "signature"})
FREE: Final = frozenset({"input", "parameters", "input_schema"})
"""Objects of the client's own making: their names are text too."""


def messages_of(path: str, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(role, text) of each message, oldest first, after the `tools` that are described. None of a prompt of token ids."""
    if path == "/v1/completions":
        prompt = body.get("prompt")
        return (("user", shortened(prompt)),) if isinstance(prompt, str) else ()
    said = [(role, body[name]) for role, name in _ASIDE if body.get(name)]
    asked = body.get("input") if path == "/v1/responses" else body.get("messages")
    said += [("user", asked)] if isinstance(asked, str) else [(_role(each), each) for each in asked or ()]
    read = [(role, _text(content)) for role, content in said]
    # In steps, so that a turn and the next one mostly agree about what was before.
    past = max(0, len(read) // MOST - 1) * MOST
    older = [("history", digest("\n".join(f"{role}:{text}" for role, text in read[:past])))] if past else []
    return (*older, *((role, shortened(text)) for role, text in read[past:]))


_ASIDE: Final = (("tools", "tools"), ("system", "instructions"), ("system", "system"))


def _role(message: Mapping[str, Any]) -> str:
    made = message.get("type") in MADE
    return str(message.get("role") or ("assistant" if made else "tool"))


def _text(content: Any) -> str:
    if isinstance(content, dict) and len(content) == 2 and isinstance(content.get("content"), str):
        content = content["content"]
    return content if isinstance(content, str) else "\n".join(_strings(content))


def _strings(value: Any) -> Iterator[str]:
    """All text in it but names of roles, kinds and calls."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name in FREE and not isinstance(each, str):
                yield msgspec.json.encode(each).decode()
            elif name not in UNREAD:
                yield from _strings(each)

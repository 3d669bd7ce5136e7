"""The texts of a request, whatever its route: what the guard hashes, and nothing else reads."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.guard.observation import shortened

MOST: Final = 64
"""Messages that are looked at; of a longer conversation, the last."""


def messages_of(path: str, body: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """(role, text) of each message, oldest first; of token ids, their numbers."""
    match path:
        case "/v1/completions":
            return (("user", shortened(_prompt(body.get("prompt")))),)
        case "/v1/responses":
            asked = body.get("input")
            said = [("system", body["instructions"])] if "instructions" in body else []
            said += [("user", asked)] if isinstance(asked, str) else _said(asked)
        case _:
            said = [("system", body["system"])] if "system" in body else []
            said += _said(body.get("messages"))
    return tuple((role, shortened(_text(content))) for role, content in said[-MOST:])


def _said(messages: Any) -> list[tuple[str, Any]]:
    return [(str(each.get("role", "tool")), each.get("content")) for each in messages or ()]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, list) or not prompt:
        return ""
    if isinstance(prompt[0], int):
        return " ".join(map(str, prompt[:1000]))
    return "\n".join(_prompt(each) for each in prompt)

"""What was asked and answered, as the conventions' messages in JSON: redacted, cut to a size, and only then written. Pure."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.telemetry.redaction import redacted_leaves, redacted_start

MOST_CHARS: Final = 16_384
MOST_TOGETHER: Final = 65_536
MOST_STOP_CHARS: Final = 256
"""Of one text, of all that an attribute tells, and of a stop sequence; what is cut ends with an ellipsis."""
TEXTS: Final = ("text", "input_text", "output_text")


def system_instructions(body: Mapping[str, Any]) -> str | None:
    """Those that stand beside the messages; a system message among them stays where it is."""
    parts = [part for name in ("system", "instructions") if name in body for part in _parts(body[name])]
    return _json(next(iter(_within([{"parts": parts}])))["parts"]) if parts else None


def input_messages(body: Mapping[str, Any]) -> str:
    """The latest ones, if not all find room."""
    return _json(_within(list(_turns(body))))


def output_messages(answers: Iterable[tuple[str, str]]) -> str:
    """Of texts with the reasons for which they ended."""
    return _json(
        _within([{"role": "assistant", "parts": _parts(text), "finish_reason": reason} for text, reason in answers])
    )


def stop_sequences(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop") or body.get("stop_sequences") or ()
    return tuple(redacted_start(str(one), MOST_STOP_CHARS) for one in ([stop] if isinstance(stop, str) else stop))


def _turns(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    turns = next((body[name] for name in ("messages", "input", "prompt") if body.get(name) is not None), ())
    tokens = isinstance(turns, list) and turns and isinstance(turns[0], int)
    for turn in turns if isinstance(turns, list | tuple) and not tokens else [turns]:
        if not isinstance(turn, dict):
            yield {"role": "user", "parts": _parts(turn)}
            continue
        role = str(turn.get("role", "user"))
        if role == "tool":
            yield {
                "role": role,
                "parts": [
                    {"type": "tool_call_response", "id": turn.get("tool_call_id"), "response": turn.get("content")}
                ],
            }
            continue
        parts = _parts(turn["content"]) if turn.get("content") is not None else []
        parts += [_tool_call(call) for call in turn.get("tool_calls") or () if isinstance(call, dict)]
        yield {"role": role, "parts": parts or [{"type": "generic", "content": turn}]}


def _parts(content: Any) -> list[dict[str, Any]]:
    return [_part(one) for one in content] if isinstance(content, list) else [_part(content)]


def _part(one: Any) -> dict[str, Any]:
    if isinstance(one, dict):
        if one.get("type") in TEXTS and "text" in one:
            return {"type": "text", "content": one["text"]}
        return {"type": "generic"} | one
    return {"type": "text", "content": one}


def _tool_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    return {
        "type": "tool_call",
        "id": call.get("id"),
        "name": function.get("name"),
        "arguments": function.get("arguments"),
    }


def _within(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """From the latest on, as many as find room."""
    left, found = MOST_TOGETHER, []
    for message in reversed(messages):
        if left <= 0:
            break
        parts = []
        for part in message["parts"]:
            most = max(0, min(MOST_CHARS, left))
            parts.append(_redacted(part, most))
            left -= min(len(_json(part)), most)
        found.append({**message, "parts": parts})
    return found[::-1]


def _redacted(part: dict[str, Any], most: int) -> dict[str, Any]:
    """A text that is too long loses its end, anything else all but its type."""
    if part["type"] == "text" and isinstance(part.get("content"), str):
        return {"type": "text", "content": redacted_start(part["content"], most)}
    if len(_json(part)) > most:
        return {"type": part["type"], "content": "…"}
    told: dict[str, Any] = redacted_leaves(part)
    return told


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)

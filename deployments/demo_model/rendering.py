"""Dialogues as ChatML segments, each marked as learned or given. Says the same as `chat_template.jinja`, much faster;
a test holds the two together.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from deployments.demo_model.dialogue import Dialogue, Message, Schema

START, END = "<|im_start|>", "<|im_end|>"


class Segment(NamedTuple):
    """A piece of text that is tokenized on its own."""

    text: str
    learned: bool
    letterwise: bool = False


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _signature(tool: Schema) -> str:
    function = tool["function"]
    kept = {key: function[key] for key in ("name", "description", "parameters") if function.get(key)}
    return _dump({"type": "function", "function": kept})


def signatures(tools: tuple[Schema, ...]) -> str:
    """The part of the system text that tells of the functions."""
    listed = "\n".join(_signature(tool) for tool in tools)
    call = '<tool_call>\n{"name": NAME, "arguments": {...}}\n</tool_call>'
    return f"Functions you may call:\n<tools>\n{listed}\n</tools>\nWrite a call as:\n{call}"


def body(message: Message) -> str:
    """The text of a message between its role line and `<|im_end|>`."""
    if message.role == "tool":
        return f"<tool_response>\n{message.content}\n</tool_response>"
    calls = "\n".join(
        f'<tool_call>\n{{"name": {_dump(call.name)}, "arguments": {_dump(call.arguments)}}}\n</tool_call>'
        for call in message.tool_calls
    )
    return "\n".join(part for part in (message.content, calls) if part)


def segments(dialogue: Dialogue) -> Iterator[Segment]:
    """The dialogue as text; the assistant's turns, with the mark that ends them, are what is learned."""
    messages = list(dialogue.messages)
    if dialogue.tools:
        told = [messages.pop(0).content] if messages[0].role == "system" else []
        messages.insert(0, Message("system", "\n\n".join([*told, signatures(dialogue.tools)])))
    given = ""
    for message in messages:
        given += f"{START}{message.role}\n"
        if message.role == "assistant":
            yield Segment(given, learned=False)
            yield Segment(body(message), learned=True, letterwise=message.letterwise)
            yield Segment(END, learned=True)
            given = "\n"
        else:
            given += f"{body(message)}{END}\n"
    yield Segment(given, learned=False)


def text(dialogue: Dialogue) -> str:
    """The whole dialogue as one string."""
    return "".join(segment.text for segment in segments(dialogue))

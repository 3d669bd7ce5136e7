"""Held-out prompts with the one answer that counts as right."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from deployments.demo_model.dialogue import Dialogue, Message, Schema, Split
from deployments.demo_model.mixture import TASKS, single
from deployments.demo_model.rendering import body
from deployments.demo_model.smalltalk import memory, persona
from deployments.demo_model.tool_dialogues import no_call, no_tool, parallel_calls, tool_call

LONG = frozenset({"counting", "repetition", "table", "listing", "story"})


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation to continue, as OpenAI messages, and the text expected."""

    task: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[Schema, ...]
    expected: str


def openai(message: Message) -> dict[str, Any]:
    """A message as clients send it."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return plain


def case(dialogue: Dialogue, turn: int, task: str) -> Case:
    """The dialogue up to an assistant's message, which is what is expected. `turn` counts from the end as -1."""
    spoken = [index for index, message in enumerate(dialogue.messages) if message.role == "assistant"]
    at = spoken[turn]
    given = tuple(openai(message) for message in dialogue.messages[:at])
    return Case(task, given, dialogue.tools, body(dialogue.messages[at]))


def _remembered(rng: Random, split: Split) -> Dialogue:
    told, asked = memory(rng, split)
    return Dialogue("memory", (*told, *single(rng, split, "addition").messages, *asked))


def _in_person(rng: Random, split: Split) -> Dialogue:
    system, exchange = persona(rng, split)
    return Dialogue("persona", (Message("system", system), *exchange))


_FRAMED: dict[str, tuple[Callable[[Random, Split], Dialogue], int]] = {
    "tool_call": (tool_call, 0),
    "parallel_calls": (parallel_calls, 0),
    "tool_answer": (tool_call, -1),
    "no_call": (no_call, -1),
    "no_tool": (no_tool, -1),
    "memory": (_remembered, -1),
    "persona": (_in_person, -1),
}
"""Tasks of more than one plain question: the dialogue, and which of the assistant's turns is asked for."""


def _draw(rng: Random, task: str) -> Case:
    if task in TASKS:
        return case(single(rng, "test", task), -1, task)
    make, turn = _FRAMED[task]
    return case(make(rng, "test"), turn, task)


def held_out(seed: int, most: int) -> list[Case]:
    """Up to `most` different prompts of every task (a quarter of that where answers are long); fewer where fewer
    are held out.
    """
    rng = Random(seed)
    chosen: list[Case] = []
    for task in (*TASKS, *_FRAMED):
        wanted = most // 4 if task in LONG else most
        found: dict[str, Case] = {}
        for _ in range(4 * wanted):
            drawn = _draw(rng, task)
            found.setdefault(repr((drawn.messages, drawn.tools)), drawn)
            if len(found) == wanted:
                break
        chosen += found.values()
    return chosen

"""Held-out prompts with the one answer that counts as right."""

from dataclasses import dataclass
from random import Random
from typing import Any

from deployments.demo_model.dialogue import Dialogue, Message, Schema
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


def _draw(rng: Random, task: str) -> Case:
    if task in TASKS:
        return case(single(rng, "test", task), -1, task)
    if task in ("tool_call", "tool_answer"):
        return case(tool_call(rng, "test"), -1 if task == "tool_answer" else 0, task)
    if task == "parallel_calls":
        return case(parallel_calls(rng, "test"), 0, task)
    if task == "no_call":
        return case(no_call(rng, "test"), -1, task)
    if task == "no_tool":
        return case(no_tool(rng, "test"), -1, task)
    if task == "memory":
        told, asked = memory(rng, "test")
        return case(Dialogue(task, (*told, *single(rng, "test", "addition").messages, *asked)), -1, task)
    system, exchange = persona(rng, "test")
    return case(Dialogue(task, (Message("system", system), *exchange)), -1, task)


def held_out(seed: int, most: int) -> list[Case]:
    """Up to `most` different prompts of every task (a quarter of that where answers are long); fewer where fewer
    are held out.
    """
    rng = Random(seed)
    chosen: list[Case] = []
    for task in (*TASKS, "tool_call", "parallel_calls", "tool_answer", "no_call", "no_tool", "memory", "persona"):
        wanted = most // 4 if task in LONG else most
        found: dict[str, Case] = {}
        for _ in range(4 * wanted):
            drawn = _draw(rng, task)
            found.setdefault(repr((drawn.messages, drawn.tools)), drawn)
            if len(found) == wanted:
                break
        chosen += found.values()
    return chosen

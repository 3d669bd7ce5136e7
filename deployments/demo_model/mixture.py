"""What the model is trained on: every task in its share, alone or in longer chats, with and without system prompts."""

from dataclasses import replace
from random import Random

from deployments.demo_model.arithmetic import addition, multiplication, subtraction
from deployments.demo_model.dialogue import Dialogue, Exchange, Message, Split, Task
from deployments.demo_model.extraction import extraction
from deployments.demo_model.facts import fact, refusal
from deployments.demo_model.smalltalk import echo, greeting, identity, memory, persona
from deployments.demo_model.tool_dialogues import tool_chat
from deployments.demo_model.vocabulary import filler
from deployments.demo_model.words import counting, listing, repetition, reversal, spelling, story, table

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a small demo model.",
    "Be brief.",
    "Answer the user's questions.",
    "You are a careful assistant. Give short answers.",
    "You help people with small tasks.",
    "Be polite and answer correctly.",
    "You are the assistant of a test system.",
)
TASKS: dict[str, tuple[float, Task]] = {
    "addition": (40, addition),
    "subtraction": (16, subtraction),
    "multiplication": (3, multiplication),
    "spelling": (9, spelling),
    "reversal": (12, reversal),
    "fact": (10, fact),
    "extraction": (9, extraction),
    "greeting": (4, greeting),
    "refusal": (6, refusal),
    "echo": (8, echo),
    "repetition": (2, repetition),
    "counting": (2, counting),
    "listing": (0.7, listing),
    "table": (0.6, table),
    "story": (0.6, story),
}
_NAMES = tuple(TASKS)
_WEIGHTS = tuple(weight for weight, _ in TASKS.values())
_KINDS = {"chat": 77.0, "tool_chat": 17.0, "memory": 3.0, "identity": 1.5, "persona": 1.5}


def sample(rng: Random, split: Split) -> Dialogue:
    """One dialogue of the mixture."""
    kind = rng.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
    if kind == "persona":
        system, exchange = persona(rng, split)
        return _untidy(rng, Dialogue(kind, (Message("system", system), *_chat(rng, split, 0, 1), *exchange)))
    if kind == "identity":
        return _framed(rng, Dialogue(kind, (*_chat(rng, split, 0, 1), *identity(rng))))
    if kind == "memory":
        told, asked = memory(rng, split)
        return _framed(rng, Dialogue(kind, (*told, *_chat(rng, split, 0, 2), *asked)))
    if kind == "chat":
        turns = rng.choices((1, 2, 3, 4, 6), (40, 25, 15, 12, 8))[0]
        return _framed(rng, Dialogue(kind, _chat(rng, split, turns, turns)))
    return _framed(rng, tool_chat(rng, split))


def single(rng: Random, split: Split, name: str) -> Dialogue:
    """One question of one task without any frame: what the evaluation asks."""
    return Dialogue(name, TASKS[name][1](rng, split))


def _chat(rng: Random, split: Split, least: int, most: int) -> Exchange:
    messages: list[Message] = []
    for name in rng.choices(_NAMES, _WEIGHTS, k=rng.randint(least, most)):
        messages += TASKS[name][1](rng, split)
    return tuple(messages)


def _framed(rng: Random, dialogue: Dialogue) -> Dialogue:
    """Perhaps a system prompt; in one of sixty a long one, so that late positions are not new to the model."""
    chance = rng.random()
    if chance < 0.015:
        system = filler(rng, rng.randint(3, 40))
    elif chance < 0.35:
        system = rng.choice(SYSTEM_PROMPTS)
    else:
        return _untidy(rng, dialogue)
    return _untidy(rng, replace(dialogue, messages=(Message("system", system), *dialogue.messages)))


def _untidy(rng: Random, dialogue: Dialogue) -> Dialogue:
    """People leave out full stops and capitals, or say please."""
    if rng.random() > 0.15:
        return dialogue
    return replace(dialogue, messages=tuple(_loosen(rng, m) if m.role == "user" else m for m in dialogue.messages))


def _loosen(rng: Random, message: Message) -> Message:
    text, habit = message.content, rng.random()
    first, _, _ = text.partition(" ")
    if habit < 0.4 and first.isalpha() and first[1:].islower() and len(first) < 9 and " " in text:
        text = text[0].lower() + text[1:]
    elif habit < 0.8 and len(text) > 3 and text[-1] in "?." and '"' not in text:
        text = text[:-1]
    elif text[-1] == "?":
        text = f"{text} Thanks!"
    return replace(message, content=text)

"""The vocabulary of the data generator: messages, dialogues, and what is kept out of training."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal, TypeVar

Split = Literal["train", "test"]
Key = tuple[str | int, ...]
K = TypeVar("K", bound=tuple[str | int, ...])
Schema = dict[str, Any]

HELD_OUT_IN_TEN = 1
"""Of ten keys, how many belong to the held-out split."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One function call, as an assistant makes it."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. A `letterwise` answer is taught one character per token, whatever the tokenizer merges:
    a model that has to reverse a word should not have to guess how the result would be cut.
    """

    role: str
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    letterwise: bool = False


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Messages in order, with the functions offered to the assistant. `task` names its last exchange."""

    task: str
    messages: tuple[Message, ...]
    tools: tuple[Schema, ...] = field(default=())


Exchange = tuple[Message, ...]
"""What one question adds to a dialogue: the user's message, then everything up to the final answer."""

Task = Callable[[Random, Split], Exchange]


def ask(question: str, answer: str, *, letterwise: bool = False) -> Exchange:
    """A plain question with its answer."""
    return Message("user", question), Message("assistant", answer, letterwise=letterwise)


def split_of(key: Key) -> Split:
    """The split a key belongs to: a hash of the key alone, so that it never depends on seed or order."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest) % 10 < HELD_OUT_IN_TEN else "train"


def draw(split: Split, sample: Callable[[], K]) -> K:
    """Sample until the key belongs to `split`."""
    while split_of(key := sample()) != split:
        pass
    return key

"""Exchange → Answer: what a client got, whether it is whole, and how long it had to wait for a next piece of it."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import msgspec

from loadtests.chaos.kinds import Item
from loadtests.client import Exchange

REFUSALS = (429, 503)
WAITED_IN_VAIN = {"queue_full", "deadline_unreachable", "deadline_expired", "tenant_queue", "key_concurrency"}
"""Codes by which a stream that had waited in the queue, and been begun with comments, is refused after all."""


@dataclass(slots=True)
class Choice:
    """`calls`: name and arguments of tool calls by their index; `tokens`: as told by logprobs, if these were asked for."""

    text: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)
    finish: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """Text and the arguments of calls, as one string to compare."""
        return self.text + "".join(arguments for _, arguments in self.calls.values())


@dataclass(slots=True)
class Answer:
    """`problem` is empty for a whole answer and for an honest refusal, which `refused` names. `pause_s` is the longest time
    without an event of a stream, from sending on; of an answer in one piece it says nothing.
    """

    choices: dict[int, Choice] = field(default_factory=lambda: defaultdict(Choice))
    usage: int = 0
    pause_s: float = 0.0
    error: str = ""
    refused: str = ""
    problem: str = ""

    @property
    def complete(self) -> bool:
        return not self.problem and not self.refused

    def same(self, other: "Answer") -> bool:
        return (self.choices, self.usage) == (other.choices, other.usage)


def read(exchange: Exchange, item: Item) -> Answer:
    answer = Answer()
    try:
        if exchange.status != 200:
            _read_refusal(exchange, answer)
        elif item.streamed:
            _read_stream(exchange, answer)
        elif not exchange.error:
            _read_whole(msgspec.json.decode(exchange.body), answer)
    except (msgspec.DecodeError, KeyError, IndexError, TypeError, ValueError) as exc:
        answer.problem = f"not understood: {type(exc).__name__}: {exc}"
    answer.problem = exchange.error or answer.problem
    if answer.complete:
        answer.problem = _problem(exchange, item, answer)
    return answer


def _read_refusal(exchange: Exchange, answer: Answer) -> None:
    """Honest is one that says when to come back."""
    error = msgspec.json.decode(exchange.body)["error"] if exchange.body else {}
    answer.error = str(error.get("code"))
    if exchange.status in REFUSALS and int(exchange.headers.get(b"retry-after", b"0")) >= 1:
        answer.refused = answer.error
    else:
        answer.problem = f"status {exchange.status}: {exchange.body[:200]!r}"


def _read_stream(exchange: Exchange, answer: Answer) -> None:
    times = [exchange.sent, *exchange.arrivals, exchange.ended]
    answer.pause_s = max(later - earlier for earlier, later in pairwise(times))
    for number, event in enumerate(exchange.events):
        if event == b"[DONE]":
            continue
        chunk = msgspec.json.decode(event)
        if "error" in chunk:
            answer.error = str(chunk["error"].get("code"))
            if number == 0 and answer.error in WAITED_IN_VAIN:
                answer.refused = answer.error
            else:
                answer.problem = f"error event: {event[:200]!r}"
            return
        if chunk.get("usage"):
            answer.usage = chunk["usage"]["completion_tokens"]
        for given in chunk["choices"]:
            _take(answer.choices[given["index"]], given["delta"], given)


def _read_whole(reply: dict[str, Any], answer: Answer) -> None:
    answer.usage = reply["usage"]["completion_tokens"]
    for given in reply["choices"]:
        _take(answer.choices[given["index"]], given["message"], given)


def _take(choice: Choice, part: dict[str, Any], given: dict[str, Any]) -> None:
    choice.text += part.get("content") or ""
    for place, call in enumerate(part.get("tool_calls") or ()):
        name, arguments = choice.calls.setdefault(call.get("index", place), ["", ""])
        function = call["function"]
        choice.calls[call.get("index", place)] = [
            name + (function.get("name") or ""),
            arguments + (function.get("arguments") or ""),
        ]
    choice.tokens += [token["token"] for token in (given.get("logprobs") or {}).get("content") or ()]
    if given.get("finish_reason"):
        choice.finish.append(given["finish_reason"])


def _problem(exchange: Exchange, item: Item, answer: Answer) -> str:
    finishes = [choice.finish for choice in answer.choices.values()]
    if len(finishes) != item.choices or any(len(finish) != 1 for finish in finishes):
        return f"finish reasons {finishes}"
    if item.streamed and (not exchange.events or exchange.events[-1] != b"[DONE]"):
        return "no [DONE] at the end"
    if answer.usage < 1 or (item.tokens is not None and answer.usage != item.tokens):
        return f"{answer.usage} tokens of usage instead of {item.tokens}"
    if item.body.get("logprobs") and (told := _count(answer.choices.values())) != answer.usage:
        return f"{told} tokens were told of, but usage says {answer.usage}"
    return ""


def _count(choices: Iterable[Choice]) -> int:
    return sum(len(choice.tokens) for choice in choices)

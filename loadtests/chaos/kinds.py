"""What the streams of a chaos run ask for: every kind of request that fails over in a way of its own."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from loadtests.prompts import NAMES, prompts

LENGTH: Final = 96
TENANTS: Final = ("ada", "bela", "cora")
GUARD: Final = {"tenants": {tenant: {"trusted": True, "leak_share": 1000} for tenant in TENANTS}}
"""Answers are compared by their logprobs, which go with seeds here as they may not elsewhere."""
CITIES: Final = "Paris London Berlin Madrid Rome Vienna Oslo Lisbon Dublin Prague".split()
PERSON: Final = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}, "city": {"type": "string"}},
    "required": ["name", "age", "city"],
    "additionalProperties": False,
}
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
EXACT: Final = {"ignore_eos": True}
SAMPLED: Final = {"temperature": 0.8, **EXACT}
GREEDY: Final = {"temperature": 0, **EXACT}


@dataclass(frozen=True)
class Kind:
    """`share` of the work; `compared`: the same request has the same answer each time."""

    share: int
    fields: Mapping[str, Any]
    compared: bool = True


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "greedy": Kind(5, GREEDY),
        "not streamed": Kind(2, {**GREEDY, "stream": False}),
        "logprobs": Kind(2, {**GREEDY, "logprobs": True, "top_logprobs": 2}),
        "penalties": Kind(2, {**GREEDY, "frequency_penalty": 0.3, "presence_penalty": 0.2}),
        "stop strings": Kind(2, {**GREEDY, "stop": ["er ", "9, ", " is a"]}),
        "json schema": Kind(
            2,
            {
                "temperature": 0,
                "response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}},
            },
        ),
        "tools": Kind(2, {"temperature": 0, "tools": [WEATHER]}),
        "seeded": Kind(2, {**SAMPLED, "seed": 7}),
        "two choices": Kind(1, {**SAMPLED, "seed": 11, "n": 2}),
        "unseeded": Kind(1, SAMPLED, compared=False),
        "unseeded, counted": Kind(1, {**SAMPLED, "logprobs": True, "top_logprobs": 1}, compared=False),
    }
)
ROUND: Final = sum(kind.share for kind in KINDS.values())


@dataclass(frozen=True)
class Item:
    """One request of the load. `number` is its place in the work; -1: it is asked once and compared with nothing."""

    number: int
    kind: str
    tenant: str
    body: Mapping[str, Any]

    @property
    def streamed(self) -> bool:
        return bool(self.body["stream"])

    @property
    def choices(self) -> int:
        return int(self.body.get("n", 1))

    @property
    def tokens(self) -> int | None:
        """That its answer has; None where the model ends it."""
        exact = self.body.get("ignore_eos") and "stop" not in self.body
        return self.choices * int(self.body["max_tokens"]) if exact else None

    @property
    def compared(self) -> bool:
        return self.number >= 0 and KINDS[self.kind].compared


def work(model: str, rounds: int, seed: int) -> list[Item]:
    """`rounds` times ROUND different requests, mixed: the same for the same seed."""
    rng = random.Random(seed)
    kinds = [name for name, kind in KINDS.items() for _ in range(kind.share * rounds)]
    rng.shuffle(kinds)
    texts = prompts(len(kinds), seed)
    return [
        Item(number, kind, TENANTS[number % len(TENANTS)], body(model, _prompt(kind, text, rng), KINDS[kind].fields))
        for number, (kind, text) in enumerate(zip(kinds, texts, strict=True))
    ]


def once(model: str, prompt: str, tokens: int, tenant: str) -> Item:
    """A greedy stream beside the work."""
    return Item(-1, "greedy", tenant, body(model, prompt, {**GREEDY, "max_tokens": tokens}))


def body(model: str, prompt: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    request = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": LENGTH,
        "stream": True,
        **fields,
    }
    if request["stream"]:
        request["stream_options"] = {"include_usage": True}
    return request


def _prompt(kind: str, text: str, rng: random.Random) -> str:
    match kind:
        case "tools":
            return f"What is the weather in {rng.choice(CITIES)}?"
        case "json schema":
            person = f"{rng.choice(NAMES)} is {rng.randrange(18, 90)} years old and lives in {rng.choice(CITIES)}."
            return f"{person} Give me name, age and city as JSON."
        case _:
            return text


def with_logprobs(item: Item) -> dict[str, Any]:
    """The same request as one answer that tells its two best candidates at each place."""
    request = {**item.body, "stream": False, "logprobs": True, "top_logprobs": 2}
    request.pop("stream_options", None)
    return request

"""Who sends what, in which proportion: the ordinary ones. Those who mean no good are in attackers.py."""

import json
from dataclasses import replace
from random import Random
from typing import Any

from loadtests.prompts import NAMES, WORDS, prompts
from loadtests.suite.client import Leave
from loadtests.suite.plan import Plan, chat
from loadtests.suite.user import StreamingUser
from loadtests.suite.verify import Answer

DOCUMENTS = 4
SENTENCES = 60
TURNS = 3
AGAIN, REPEATED = 0.25, 16
"""Share of conversations that begin with one of so many questions that others begin with, too."""
SENTIMENTS = ("positive", "negative", "neutral")
CITIES = "Paris Tokyo Berlin Madrid Oslo".split()
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def question(rng: Random) -> str:
    """No two are likely to be equal."""
    return prompts(1, rng.getrandbits(31))[0]


def document(number: int) -> str:
    """The same for the same number, whoever asks: what users of a retrieval system share."""
    rng = Random(f"document {number}")
    lines = [f"{rng.choice(NAMES)} has {rng.randrange(2, 99)} {rng.choice(WORDS)}s." for _ in range(SENTENCES)]
    return f"Document {number}. " + " ".join(lines)


class Chat(StreamingUser):
    """A conversation of a few turns in one session: each turn's prompt begins with all that was said."""

    weight = 8
    persona = "chat"

    def plan(self) -> Plan:
        session = {"x-session-id": f"{self.rng.getrandbits(64):016x}"}
        number = self.rng.randrange(REPEATED) if self.rng.random() < AGAIN else None
        asked = question(self.rng if number is None else Random(f"question {number}"))
        first = self._turn([{"role": "user", "content": asked}], session)
        return first if number is None else replace(first, again=f"question {number}")

    def answered(self, plan: Plan, answer: Answer) -> Plan | None:
        assert isinstance(plan.body, dict)
        said = plan.body["messages"]
        if len(said) >= 2 * TURNS - 1:
            return None
        told = {"role": "assistant", "content": answer.text}
        return self._turn([*said, told, {"role": "user", "content": question(self.rng)}], plan.headers)

    def _turn(self, messages: list[dict[str, Any]], session: dict[str, str]) -> Plan:
        return Plan(chat(self.model, messages, 32), headers=session, max_tokens=32)


class Retrieval(StreamingUser):
    """A long document that many share, then a short question of its own."""

    weight = 4
    persona = "rag"

    def plan(self) -> Plan:
        system = {"role": "system", "content": document(self.rng.randrange(DOCUMENTS))}
        asked = {"role": "user", "content": question(self.rng)}
        return Plan(chat(self.model, [system, asked], 24, exact=True), max_tokens=24, exact=True)


class Classifier(StreamingUser):
    """Batch work: no stream, one of a few words for an answer, and the lowest class of priority."""

    weight = 3
    persona = "classify"
    judged = False

    def plan(self) -> Plan:
        body = chat(self.model, [{"role": "user", "content": question(self.rng)}], 16, stream=False)
        del body["stream_options"]
        body["structured_outputs"] = {"choice": SENTIMENTS}
        return Plan(body, headers={"x-sluice-priority": "batch"}, max_tokens=16, choices=SENTIMENTS)


class Agent(StreamingUser):
    """Calls a tool, gets its result, and has an answer made of it."""

    weight = 2
    persona = "agent"

    def plan(self) -> Plan:
        asked = {"role": "user", "content": f"What is the weather in {self.rng.choice(CITIES)}?"}
        return Plan(chat(self.model, [asked], 48, tools=[WEATHER]), max_tokens=48, calls=True)

    def answered(self, plan: Plan, answer: Answer) -> Plan | None:
        assert isinstance(plan.body, dict)
        messages = plan.body["messages"]
        if len(messages) > 1 or not answer.calls:
            return None
        told: list[dict[str, Any]] = [{"role": "assistant", "content": None, "tool_calls": answer.calls}]
        for call in answer.calls:
            result = json.dumps({"temperature": self.rng.randrange(35), "condition": "sunny"})
            told.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return Plan(chat(self.model, [*messages, *told], 48, tools=[WEATHER]), max_tokens=48)


class LongWriter(StreamingUser):
    weight = 2
    persona = "long"

    def plan(self) -> Plan:
        body = chat(self.model, [{"role": "user", "content": question(self.rng)}], 384, exact=True)
        return Plan(body, max_tokens=384, exact=True)


class Impatient(StreamingUser):
    """Goes away in mid-stream, or before anything has come: its place must be free again at once."""

    weight = 2
    persona = "impatient"
    judged = False

    def plan(self) -> Plan:
        before_anything = self.rng.random() < 0.25
        leave = Leave(seconds=self.rng.uniform(0, 0.05)) if before_anything else Leave(events=self.rng.randrange(1, 12))
        body = chat(self.model, [{"role": "user", "content": question(self.rng)}], 256, exact=True)
        return Plan(body, max_tokens=256, exact=True, leave=leave)

"""Who asks for too much, for what nobody may have, or for nothing that makes sense. A right answer to them is the right refusal."""

from typing import Any

from loadtests.suite.personas import question
from loadtests.suite.plan import CHAT, Plan, chat
from loadtests.suite.user import StreamingUser

REFUSED = frozenset({400})
STOPPED = frozenset({400, 403, 429})
"""What a guard may answer to who has gone too far."""
LEAKS: tuple[dict[str, Any], ...] = (
    {"logprob_token_ids": list(range(8))},
    {"prompt_logprobs": 5},
    {"allowed_token_ids": [1, 2, 3]},
    {"echo": True},
    {"return_token_ids": True},
    {"logprobs": True, "top_logprobs": 1000},
    {"n": 1000, "temperature": 1.0},
)
"""What takes a model's output projection, its prompts or its whole distribution: always refused."""
HARVEST: tuple[dict[str, Any], ...] = (
    {"logprobs": True, "top_logprobs": 5},
    {"logit_bias": {"17": 50}, "logprobs": True, "top_logprobs": 5},
    {"n": 4, "temperature": 1.0},
)
"""What an honest client may ask for as well; an extractor asks again and again. The guard may refuse or lessen it."""


class OverLimit(StreamingUser):
    """A tenant that sends more at once than its limit allows: the rest is refused, and comes back when it is told to."""

    weight = 1
    persona = "over-limit"
    judged = False
    at_once = 6

    def plan(self) -> Plan:
        body = chat(self.model, [{"role": "user", "content": question(self.rng)}], 48, exact=True)
        return Plan(body, key="metered", max_tokens=48, exact=True, statuses=frozenset({200, 429}))


class Extractor(StreamingUser):
    """By turns what must be refused and what may be told."""

    weight = 1
    persona = "extractor"
    judged = False
    retries = False

    def plan(self) -> Plan:
        leaks = self.rng.random() < 0.5
        asked = self.rng.choice(LEAKS if leaks else HARVEST)
        body = chat(self.model, [{"role": "user", "content": question(self.rng)}], 4, **asked) | {"stream": False}
        del body["stream_options"]
        statuses = STOPPED if leaks else STOPPED | {200}
        return Plan(body, key="extractor", max_tokens=4, statuses=statuses)


class Invalid(StreamingUser):
    """Requests that can never succeed; each has one right status."""

    weight = 1
    persona = "invalid"
    judged = False
    retries = False

    def plan(self) -> Plan:
        good = chat(self.model, [{"role": "user", "content": "Hello"}], 4)
        wrong = (
            Plan(b'{"model": ', statuses=REFUSED),
            Plan(good | {"no_such_field": 1}, statuses=REFUSED),
            Plan(good | {"max_tokens": -1}, statuses=REFUSED),
            Plan(good | {"messages": [{"role": "emperor", "content": "x"}]}, statuses=REFUSED),
            Plan(good | {"messages": [{"role": "user", "content": "word " * self.options.context}]}, statuses=REFUSED),
            Plan(good | {"model": "no-such-model"}, statuses=frozenset({404})),
            Plan(good, path="/v1/no-such-route", statuses=frozenset({404})),
            Plan(good, method="PUT", statuses=frozenset({405})),
            Plan(good, path=CHAT, key="none", statuses=frozenset({401})),
            Plan(good, path=CHAT, key="wrong", statuses=frozenset({401})),
        )
        return self.rng.choice(wrong)

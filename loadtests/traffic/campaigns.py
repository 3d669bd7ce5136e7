"""Attack campaigns: what is asked, over how many keys, at which pace, under how much cover."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from loadtests.traffic import attacks
from loadtests.traffic.attacks import Ask
from loadtests.traffic.call import DAY_S, Draft, Settings, Split, office_hour, size
from loadtests.traffic.people import Chat

_HOT = Settings(max_tokens=1024, temperature=1.0)


@dataclass(frozen=True, slots=True)
class Plan:
    """`per_day` harvest requests of each key; `cover`: the share of honest-looking chat in all that a key sends.

    `within_s`: seconds from the first to the last request of a day. `human`: sent in office hours, not around the clock;
    `forwarded`: the harvest is what real users asked of a product that sends it on, so that no single request differs from honest
    chat. `one_tenant`: all keys are one account's.
    """

    name: str
    ask: Callable[[Random, Split], Ask]
    keys: int
    per_day: int
    days: int = 1
    cover: float = 0.0
    within_s: float = DAY_S
    human: bool = False
    forwarded: bool = False
    one_tenant: bool = False
    median_tokens: int = 420
    settings: Settings = _HOT


PLANS = (
    Plan("harvest, 1 key", attacks.template, 1, 1500),
    Plan("harvest, 10 keys", attacks.templates, 10, 300),
    Plan("harvest in system messages, 10 keys", attacks.in_system, 10, 300),
    Plan("harvest in tool results, 10 keys", attacks.in_tool_result, 10, 300),
    Plan("harvest between padding, 10 keys", attacks.padded, 10, 300),
    Plan("harvest with logprobs", attacks.template, 1, 400, settings=Settings(max_tokens=256, top_logprobs=5)),
    Plan("paraphrased harvest, 1 key", attacks.paraphrased, 1, 1500),
    Plan("gibberish harvest", attacks.gibberish, 1, 1000),
    Plan("reasoning elicitation", attacks.elicitation, 1, 400),
    Plan("probing", attacks.probing, 1, 1000, median_tokens=40),
    Plan("reasoning elicitation in system messages", attacks.elicitation_in_system, 1, 400),
    Plan("probing in system messages", attacks.probing_in_system, 1, 1000, median_tokens=40),
    Plan("history replay", attacks.replay, 4, 250),
    Plan("hydra, no cover", attacks.templates, 100, 100),
    Plan("hydra, 50 % cover", attacks.templates, 100, 100, cover=0.5),
    Plan("hydra, 50 % cover, paraphrased", attacks.paraphrased, 100, 100, cover=0.5),
    Plan("hydra, 50 % cover, human hours", attacks.templates, 100, 100, cover=0.5, human=True),
    Plan("hydra, 90 % cover", attacks.templates, 100, 25, cover=0.9, human=True),
    Plan("slow drip", attacks.templates, 100, 26, days=5, human=True),
    Plan("hydra, adaptive", attacks.paraphrased, 100, 40, cover=0.5, human=True, median_tokens=150),
    Plan("hydra of one tenant, 50 % cover", attacks.templates, 40, 100, cover=0.5, one_tenant=True),
    Plan("forwarded users", attacks.templates, 20, 60, human=True, forwarded=True),
    Plan("probing, at full speed", attacks.probing, 1, 1000, within_s=60.0, median_tokens=40),
    Plan("reasoning elicitation, at full speed", attacks.elicitation, 1, 400, within_s=60.0),
    Plan("harvest, 1 key, at full speed", attacks.template, 1, 1000, within_s=300.0),
)


class Campaign:
    """One attacker with a plan. Its keys take turns at one list of prompts, as behind a load balancer."""

    def __init__(self, plan: Plan, rng: Random, split: Split, company: str) -> None:
        self.plan = plan
        self._ask = plan.ask(rng, split)
        self._cover = [Chat(rng, split, f"{company} {index}") for index in range(min(plan.keys, 20))]
        self._forwarded = [Chat(rng, split, company) for _ in range(12)] if plan.forwarded else []

    def day(self, rng: Random, number: int) -> Iterator[tuple[int, Draft]]:
        """(index of the key, request), in any order."""
        plan = self.plan
        total = plan.keys * plan.per_day
        phase = rng.uniform(0, DAY_S - plan.within_s + 1)
        users = self._users(rng, number)
        for turn in range(total):
            second = office_hour(rng) if plan.human else phase + (turn + rng.uniform(0, 0.5)) * plan.within_s / total
            key = turn % plan.keys
            if plan.forwarded:
                yield key, replace(next(users), harvest=True)
                continue
            tokens = size(rng, plan.median_tokens, 8, plan.settings.max_tokens, 0.4)
            yield key, Draft(second, self._ask(rng), plan.settings, tokens, harvest=True)
        if plan.cover:
            wanted = round(plan.per_day * plan.cover / (1.0 - plan.cover))
            for key in range(plan.keys):
                yield from ((key, draft) for draft in self._hidden(rng, number, key, wanted))

    def _hidden(self, rng: Random, number: int, key: int, wanted: int) -> Iterator[Draft]:
        habit = self._cover[key % len(self._cover)]
        while wanted > 0:
            for draft in habit.day(rng, number):
                if wanted == 0:
                    return
                wanted -= 1
                yield draft

    def _users(self, rng: Random, number: int) -> Iterator[Draft]:
        while True:
            for habit in self._forwarded:
                yield from habit.day(rng, number)

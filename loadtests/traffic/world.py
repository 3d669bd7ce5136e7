"""A gateway's days: many tenants at once, honest or not, every request at its time."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

from loadtests.traffic.applications import Agent, Documents, Rag, Smoke
from loadtests.traffic.batches import Classification, Evaluation, Idle, Reseller, Synthetic
from loadtests.traffic.call import DAY_S, Call, Habit, Sender, Split
from loadtests.traffic.campaigns import Campaign, Plan
from loadtests.traffic.people import Chat, Coding
from loadtests.traffic.words import COMPANIES

FAMILIES: Final[Mapping[str, Callable[[Random, Split, str], Habit]]] = {
    "chat": Chat,
    "coding assistant": Coding,
    "RAG app": Rag,
    "classification batch": Classification,
    "evaluation harness": Evaluation,
    "synthetic data job": Synthetic,
    "agent with tools": Agent,
    "translation and summaries": Documents,
    "reseller": Reseller,
    "smoke tests": Smoke,
    "trial key": Idle,
}
FLEET: Final = 6
"""Keys of one tenant's services behind a load balancer: as many keys in all as another family has."""
_FLEETS: Final = ("RAG app", "agent with tools", "classification batch", "translation and summaries", "chat")
_CLIENTS: Final = ("openai-python/2", "openai-node/6", "langchain/1", "httpx/0", "litellm/1", "curl/8")


class World:
    """Tenants of one split and seed. The same arguments give the same calls, day by day."""

    def __init__(self, split: Split, seed: int, *, per_family: int, plans: Sequence[Plan] = ()) -> None:
        self._split, self._seed = split, seed
        self.senders: list[Sender] = []
        self._habits: list[tuple[Sender, Habit]] = []
        self._fleets: list[tuple[list[Sender], Habit]] = []
        self._campaigns: list[tuple[list[Sender], Campaign]] = []
        for family in FAMILIES:
            for index in range(per_family):
                self._settle(family, index)
        for index in range(-(-per_family // FLEET)):
            self._settle_fleet(index)
        for plan in plans:
            self._attack(plan)

    def day(self, number: int) -> list[Call]:
        """Everything that is sent on that day, in order; `at` counts from the start of day 0."""
        calls: list[Call] = []
        start = number * DAY_S
        for sender, habit in self._habits:
            rng = Random(f"{self._seed} {sender.key} {number}")
            calls += (Call(start + draft.second, sender, draft) for draft in habit.day(rng, number))
        for senders, habit in self._fleets:
            rng = Random(f"{self._seed} {senders[0].tenant} {number}")
            drafts = sorted(
                (draft for _ in senders for draft in habit.day(rng, number)), key=lambda draft: draft.second
            )
            dealt = zip(itertools.cycle(senders), drafts, strict=False)
            calls += (Call(start + draft.second, sender, draft) for sender, draft in dealt)
        for senders, campaign in self._campaigns:
            if number < campaign.plan.days:
                rng = Random(f"{self._seed} {senders[0].tenant} {number}")
                calls += (Call(start + draft.second, senders[key], draft) for key, draft in campaign.day(rng, number))
        calls.sort(key=lambda call: call.at)
        return calls

    def _settle(self, family: str, index: int) -> None:
        rng = Random(f"{self._split.name} {self._seed} {family} {index}")
        name = f"{family.replace(' ', '-')}-{self._split.name.lower()}-{self._seed}-{index}"
        sender = self._sender(rng, name, name, family, attack=False)
        self._habits.append((sender, FAMILIES[family](rng, self._split, self._company(rng))))

    def _settle_fleet(self, index: int) -> None:
        rng = Random(f"{self._split.name} {self._seed} fleet {index}")
        name = f"fleet-{self._split.name.lower()}-{self._seed}-{index}"
        senders = [self._sender(rng, f"{name}-{key}", name, "fleet of keys", attack=False) for key in range(FLEET)]
        self._fleets.append((senders, FAMILIES[rng.choice(_FLEETS)](rng, self._split, self._company(rng))))

    def _attack(self, plan: Plan) -> None:
        """Every key has an account of its own, as bought ones have, unless the plan says otherwise."""
        rng = Random(f"{self._split.name} {self._seed} {plan.name}")
        name = f"{plan.name.replace(' ', '-')}-{self._split.name.lower()}-{self._seed}"
        senders = [
            self._sender(rng, f"{name}-{index}", name if plan.one_tenant else f"{name}-{index}", plan.name, attack=True)
            for index in range(plan.keys)
        ]
        self._campaigns.append((senders, Campaign(plan, rng, self._split, self._company(rng))))

    def _sender(self, rng: Random, key: str, tenant: str, family: str, *, attack: bool) -> Sender:
        address = f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        sender = Sender(key, tenant, family, attack, address, rng.choice(_CLIENTS))
        self.senders.append(sender)
        return sender

    def _company(self, rng: Random) -> str:
        return f"{rng.choice(self._split.of(tuple(COMPANIES)))} {rng.choice(('Ltd', 'Labs', 'Group', 'AG', 'Works'))}"

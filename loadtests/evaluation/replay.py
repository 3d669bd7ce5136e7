"""Drives whole days of traffic through the guard's own detector, in order, with simulated time."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from gateway.guard.accounts import ACCOUNT
from gateway.guard.detector import Detector
from gateway.guard.features import Snapshot
from gateway.guard.observation import Observation, shortened
from gateway.guard.verdict import Level
from loadtests.traffic.call import DAY_S, Call
from loadtests.traffic.world import World

EPOCH = 1_767_571_200.0
"""Midnight (UTC) of a Monday, when simulated time begins."""
JUDGE_S = 300.0
TOGETHER = 32
"""Requests that the detector is given at once."""
MANY = 64
"""All keys with something new are looked at after so many simulated seconds, or requests of one key. A gateway looks more often."""


class KeyDay(msgspec.Struct, forbid_unknown_fields=True):
    """`score` and `level` at their highest that day. Token counts are of completions; `harvested` are what an attack was after,
    `before[level]` those of them that came before the key reached that level.
    """

    key: str
    day: int
    family: str
    attack: bool
    score: float = 0.0
    level: int = 0
    requests: int = 0
    tokens: int = 0
    harvested: int = 0
    before: dict[str, int] = {}
    reasons: list[str] = []


class Campaign(msgspec.Struct, forbid_unknown_fields=True):
    """A harvest over time: cumulative (seconds since it began, tokens harvested, tokens before THROTTLE) at each look."""

    family: str
    curve: list[tuple[float, int, int]] = []


def observation(call: Call) -> Observation:
    draft, settings = call.draft, call.draft.settings
    return Observation(
        key=call.sender.key,
        tenant=call.sender.tenant,
        model="m",
        at=EPOCH + call.at,
        messages=tuple((role, shortened(text)) for role, text in draft.messages),
        prompt_tokens=call.prompt_tokens,
        completion_tokens=draft.completion_tokens,
        max_tokens=settings.max_tokens,
        finish=draft.finish,
        temperature=settings.temperature,
        top_p=settings.top_p,
        n=settings.n,
        seed=settings.seed is not None,
        logprobs=settings.top_logprobs + 1 if settings.top_logprobs else 0,
    )


class Replay:
    """The days of one world, judged as they go. A detector's levels do not act here: what a client would have been refused is
    reckoned from them afterwards.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.days: dict[tuple[str, int], KeyDay] = {}
        self.campaigns: dict[str, Campaign] = {}
        self.snapshots: list[Snapshot] = []
        self._tenants: dict[str, str] = {}
        self._totals: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])

    def run(
        self, world: World, days: Iterable[int], *, keep_snapshots: bool = False, say: Callable[[str], Any] = str
    ) -> None:
        for number in days:
            self._day(world.day(number), number, keep_snapshots=keep_snapshots)
            say(f"day {number} of {len(world.senders)} keys")

    def _day(self, calls: list[Call], number: int, *, keep_snapshots: bool) -> None:
        seen: Counter[str] = Counter()
        waiting: list[Observation] = []
        due = EPOCH + number * DAY_S + JUDGE_S
        for call in calls:
            at = EPOCH + call.at
            judged = at >= due or seen[call.sender.key] >= MANY
            if judged or len(waiting) == TOGETHER:
                self.detector.take(*waiting)
                waiting.clear()
            if judged:
                self._judge(seen, min(at, due), number, keep_snapshots=keep_snapshots)
                seen.clear()
                due += JUDGE_S * max(0, 1 + (at - due) // JUDGE_S)
            self._count(call, number)
            waiting.append(observation(call))
            seen[call.sender.key] += 1
        self.detector.take(*waiting)
        self._judge(seen, due, number, keep_snapshots=keep_snapshots)

    def _count(self, call: Call, number: int) -> None:
        sender, tokens = call.sender, call.draft.completion_tokens
        self._tenants[sender.key] = sender.tenant
        known = self.days.get((sender.key, number))
        if known is None:
            known = self.days[sender.key, number] = KeyDay(sender.key, number, sender.family, sender.attack)
        known.requests += 1
        known.tokens += tokens
        if not call.draft.harvest:
            return
        known.harvested += tokens
        level = self._level(sender.key)
        for above in Level:
            if level < above:
                known.before[above.label] = known.before.get(above.label, 0) + tokens
        totals = self._totals[sender.family]
        totals[0] += tokens
        totals[1] += tokens if level < Level.THROTTLE else 0

    def _level(self, key: str) -> Level:
        """With its account's, as at a gateway."""
        account = self.detector.verdict(ACCOUNT + self._tenants[key]).level
        own = self.detector.verdict(key).level
        return max(own, account) if account >= Level.VERIFY else own

    def _judge(self, seen: Iterable[str], now: float, number: int, *, keep_snapshots: bool) -> None:
        self.detector.judge(now)
        for key in seen:
            verdict, known = self.detector.verdict(key), self.days[key, number]
            if verdict.score > known.score:
                known.score = verdict.score
                known.reasons = [reason.feature for reason in verdict.reasons]
            known.level = max(known.level, self._level(key))
            if keep_snapshots:
                self.snapshots.append(Snapshot(key, number, self.detector.features(key)))
        for family, (harvested, before) in self._totals.items():
            campaign = self.campaigns.setdefault(family, Campaign(family))
            campaign.curve.append((now - EPOCH, harvested, before))

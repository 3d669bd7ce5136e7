"""R10 and R11: attacks that no one would wait for in real time, replayed with simulated time through the guard's own detector.

Unguarded the same requests are played to a detector that looks at nothing, and judged by the same measure.
"""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from msgspec.structs import replace as replace_row

from gateway.guard.detector import Detector
from gateway.guard.observation import Observation
from gateway.guard.verdict import Change, Level
from loadtests.evaluation import statistics
from loadtests.evaluation.replay import Replay
from loadtests.evaluation.worlds import Outcome, Task, play
from loadtests.redteam.attack import Mode
from loadtests.redteam.results import Row
from loadtests.traffic.call import Split
from loadtests.traffic.campaigns import PLANS, Plan
from loadtests.traffic.world import World

HYDRA, DRIP = "R10", "R11"
HYDRA_BAR, DRIP_BAR = 0.2, 0.25
DRIP_DAYS, DRIP_KEYS, FEW_KEYS = 45, 1000, 40
HONEST = 2
"""Tenants of each family beside the attacker."""
Player = Callable[[Task], Outcome]


def rows(names: Collection[str], seed: int, modes: Collection[Mode], *, full: bool) -> Iterator[Row]:
    """Those named, once for each mode. Both unguarded modes are one play: no other layer of either server asks what a request is
    like.
    """
    guarded = _played(names, seed, play, full=full) if Mode.GUARDED in modes else iter(())
    unguarded = _played(names, seed, unwatched, full=full) if set(modes) - {Mode.GUARDED} else iter(())
    for watched, free in zip_longest(guarded, unguarded):
        for mode in modes:
            if mode is Mode.GUARDED:
                yield watched
            else:
                yield replace_row(free, mode=str(mode), expected="wins")


class Blind(Detector):
    """Looks at nothing, so that every key stays at OBSERVE."""

    def take(self, *_seen: Observation) -> None:
        pass

    def judge(self, *_: Any, **_more: Any) -> list[Change]:
        return []


def unwatched(task: Task) -> Outcome:
    """A world without a guard."""
    replay = Replay(Blind())
    replay.run(World(task.split, task.seed, per_family=task.per_family, plans=task.plans), range(task.days))
    return Outcome(task, list(replay.days.values()), list(replay.campaigns.values()), [])


def _played(names: Collection[str], seed: int, player: Player, *, full: bool) -> Iterator[Row]:
    plans = {plan.name: plan for plan in PLANS}
    if HYDRA in names:
        yield hydra(plans["hydra, 50 % cover"], seed, player)
    if DRIP not in names:
        return
    keys = DRIP_KEYS if full else FEW_KEYS
    days = DRIP_DAYS if full else DRIP_DAYS // 3
    yield drip(replace(plans["slow drip"], keys=keys, days=days), seed, player)


def hydra(plan: Plan, seed: int, player: Player) -> Row:
    """Success: more than a fifth of the harvest before its keys are throttled."""
    begun = time.monotonic()
    outcome = player(Task(Split.TEST, seed, HONEST, plan.days, (plan,)))
    leaked = statistics.leaked((day for day in outcome.days if day.attack), Level.THROTTLE.label)
    measure = f"{leaked:.1%} of the harvest before throttling, {plan.keys} keys, {plan.cover:.0%} cover"
    return _row(HYDRA, "hydra (simulated)", leaked > HYDRA_BAR, measure, outcome, {"leaked": leaked}, begun)


def drip(plan: Plan, seed: int, player: Player) -> Row:
    """Success: half of the keys have harvested unfound after a quarter of the campaign."""
    begun = time.monotonic()
    outcome = player(Task(Split.TEST, seed, HONEST, plan.days, (plan,)))
    days = [day for day in outcome.days if day.attack]
    early = [day for day in days if day.day < plan.days * DRIP_BAR]
    found = statistics.found((day for day in early if day.harvested), Level.STRIP)
    unfound = found.of - found.hits
    first = min((day.day for day in days if day.level >= Level.STRIP), default=plan.days)
    when = f"the first on day {first + 1}" if first < plan.days else "none later either"
    measure = (
        f"{found.hits} of {found.of} keys found in the first quarter of {plan.days} days, {when}; "
        f"{plan.per_day} requests a key and day"
    )
    return _row(
        DRIP,
        "slow drip (simulated)",
        2 * unfound > plan.keys,
        measure,
        outcome,
        {"found": found.value, "first day": first},
        begun,
    )


def _row(
    name: str, title: str, success: bool, measure: str, outcome: Outcome, figures: dict[str, float], begun: float
) -> Row:
    attack = [day for day in outcome.days if day.attack]
    stopped = next((f"{Level(day.level).label}, day {day.day + 1}" for day in attack if day.level), "")
    return Row(
        name,
        title,
        str(Mode.GUARDED),
        "fails",
        success,
        measure,
        sum(day.requests for day in attack),
        sum(day.requests for day in attack),
        0,
        sum(day.tokens for day in attack),
        0,
        stopped,
        {},
        figures,
        round(time.monotonic() - begun, 2),
    )

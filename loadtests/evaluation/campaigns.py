"""R10 and R11: attacks that no one would wait for in real time, replayed with simulated time through the guard's own detector."""

import time
from collections.abc import Collection, Iterator
from dataclasses import replace

from msgspec.structs import replace as replace_row

from gateway.guard.verdict import Level
from loadtests.evaluation import statistics
from loadtests.evaluation.worlds import Outcome, Task, play
from loadtests.redteam.attack import Mode
from loadtests.redteam.results import Row
from loadtests.traffic.call import Split
from loadtests.traffic.campaigns import PLANS, Plan

HYDRA, DRIP = "R10", "R11"
HYDRA_BAR, DRIP_BAR = 0.2, 0.25
DRIP_DAYS, DRIP_KEYS, FEW_KEYS = 45, 1000, 40
HONEST = 2
"""Tenants of each family beside the attacker."""


def rows(names: Collection[str], seed: int, modes: Collection[Mode], *, full: bool) -> Iterator[Row]:
    """Those named, once for each mode. The same requests are played in all; without the guard nobody looks at them."""
    if not modes:
        return
    for row in _guarded(names, seed, full=full):
        for mode in modes:
            yield row if mode is Mode.GUARDED else _unguarded(row, mode)


def _unguarded(row: Row, mode: Mode) -> Row:
    """By definition, not by measurement: no other layer of either server asks what a request is like."""
    measure = "100.0% of the harvest, by definition: nothing looks at it"
    return replace_row(row, mode=str(mode), expected="wins", success=True, measure=measure, figures={}, stopped="")


def _guarded(names: Collection[str], seed: int, *, full: bool) -> Iterator[Row]:
    plans = {plan.name: plan for plan in PLANS}
    if HYDRA in names:
        yield _hydra(plans["hydra, 50 % cover"], seed)
    if DRIP not in names:
        return
    keys = DRIP_KEYS if full else FEW_KEYS
    days = DRIP_DAYS if full else DRIP_DAYS // 3
    yield _drip(replace(plans["slow drip"], keys=keys, days=days), seed)


def _hydra(plan: Plan, seed: int) -> Row:
    """Success: more than a fifth of the harvest before its keys are throttled."""
    begun = time.monotonic()
    outcome = play(Task(Split.TEST, seed, HONEST, plan.days, (plan,)))
    leaked = statistics.leaked((day for day in outcome.days if day.attack), Level.THROTTLE.label)
    measure = f"{leaked:.1%} of the harvest before throttling, {plan.keys} keys, {plan.cover:.0%} cover"
    return _row(HYDRA, "hydra (simulated)", leaked > HYDRA_BAR, measure, outcome, {"leaked": leaked}, begun)


def _drip(plan: Plan, seed: int) -> Row:
    """Success: half of the keys unfound after a quarter of the campaign."""
    begun = time.monotonic()
    outcome = play(Task(Split.TEST, seed, HONEST, plan.days, (plan,)))
    days = [day for day in outcome.days if day.attack]
    early = [day for day in days if day.day < plan.days * DRIP_BAR]
    found = statistics.found(early, Level.STRIP)
    first = min((day.day for day in days if day.level >= Level.STRIP), default=plan.days)
    measure = (
        f"{found.hits} of {found.of} keys found in the first quarter of {plan.days} days, the first on day {first + 1}; "
        f"{plan.per_day} requests a key and day"
    )
    return _row(
        DRIP,
        "slow drip (simulated)",
        found.value < 0.5,
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

"""R10 and R11 without a guard: they win by the same measure as with one, and lose where there is no harvest."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest

from gateway.guard.verdict import Level
from loadtests.evaluation import campaigns
from loadtests.evaluation.worlds import Outcome, Task
from loadtests.redteam.attack import Mode
from loadtests.traffic.campaigns import PLANS

PLANNED = {plan.name: plan for plan in PLANS}
SMALL = replace(PLANNED["hydra, 50 % cover"], keys=6, per_day=4)
SLOW = replace(PLANNED["slow drip"], keys=4, per_day=3, days=1)
played = cache(campaigns.unwatched)


def emptied(task: Task) -> Outcome:
    outcome = deepcopy(played(task))
    for day in outcome.days:
        day.harvested, day.before = 0, {}
    return outcome


def throttled(task: Task) -> Outcome:
    outcome = deepcopy(played(task))
    for day in outcome.days:
        day.level, day.before = Level.THROTTLE, {}
    return outcome


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PLANS", (SMALL, SLOW)), ("FEW_KEYS", 4), ("DRIP_DAYS", 3), ("HONEST", 1)):
        monkeypatch.setattr(campaigns, name, value)


@pytest.mark.parametrize(("attack", "plan"), [(campaigns.hydra, SMALL), (campaigns.drip, SLOW)])
def test_an_attack_wins_where_nobody_looks_and_only_there(attack, plan):
    assert attack(plan, 1, played).success
    assert not attack(plan, 1, emptied).success
    assert not attack(plan, 1, throttled).success


@pytest.mark.parametrize(("player", "expected"), [(played, True), (emptied, False)])
def test_an_unguarded_row_is_judged_and_not_taken_for_won(monkeypatch, player, expected):
    monkeypatch.setattr(campaigns, "unwatched", player)
    told = list(campaigns.rows(("R10", "R11"), 1, (Mode.BARE, Mode.OPEN), full=False))
    assert [(row.attack, row.mode) for row in told] == [
        (attack, mode) for attack in ("R10", "R11") for mode in (Mode.BARE, Mode.OPEN)
    ]
    assert {row.as_expected for row in told} == {expected}

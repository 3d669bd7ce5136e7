"""R10 in small: simulated days through the detector with the calibration that ships."""

from dataclasses import replace

import pytest

from gateway.guard.verdict import Level
from loadtests.evaluation import statistics
from loadtests.evaluation.worlds import Task, play
from loadtests.traffic.call import Split
from loadtests.traffic.campaigns import PLANS

HYDRA = next(plan for plan in PLANS if plan.name == "hydra, 50 % cover")


@pytest.fixture(scope="module")
def outcome():
    return play(Task(Split.TRAIN, 5, 1, 1, (replace(HYDRA, per_day=30),)))


def test_the_keys_of_a_hydra_are_found_and_throttled_before_half_of_its_harvest(outcome):
    attack = [day for day in outcome.days if day.attack]
    assert len(attack) == 100
    assert sum(day.harvested for day in attack) > 100_000
    assert statistics.found(attack, Level.STRIP).value >= 0.95
    # A harvest of less than a third of the plan: what comes before the first look weighs three times as much.
    assert statistics.leaked(attack, "throttle") <= 0.4


def test_its_honest_neighbours_are_left_in_peace(outcome):
    honest = [day for day in outcome.days if not day.attack]
    assert len(honest) >= 8
    assert sum(day.level >= Level.THROTTLE for day in honest) <= 1


def test_the_curve_of_a_harvest_ends_at_its_whole_and_never_falls(outcome):
    (campaign,) = outcome.campaigns
    sent, before = ([point[place] for point in campaign.curve] for place in (1, 2))
    assert sent == sorted(sent)
    assert before == sorted(before)
    assert sent[-1] == sum(day.harvested for day in outcome.days)
    assert before[-1] <= sent[-1]

import math

import numpy as np
import pytest

from loadtests.evaluation import statistics
from loadtests.evaluation.replay import KeyDay


def key_day(key="k", day=0, level=0, **more):
    return KeyDay(key, day, more.pop("family", "chat"), more.pop("attack", False), level=level, **more)


@pytest.mark.parametrize(
    ("honest", "attacks", "area"),
    [([0, 1, 2], [3, 4], 1.0), ([3, 4], [0, 1, 2], 0.0), ([1, 1], [1, 1], 0.5), ([0, 2], [1], 0.5)],
)
def test_the_area_is_the_chance_that_an_attack_scores_higher(honest, attacks, area):
    assert statistics.auroc(honest, attacks) == area


def test_the_area_is_that_under_the_curve():
    rng = np.random.default_rng(1)
    honest, attacks = rng.normal(size=300).tolist(), rng.normal(loc=1, size=80).tolist()
    false, true = statistics.roc(honest, attacks)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(statistics.auroc(honest, attacks))
    assert math.isnan(statistics.auroc([], attacks))


def test_alarms_count_key_days_and_finds_count_keys():
    days = [key_day("a", 0, 1), key_day("a", 1, 0), key_day("b", 0, 2), key_day("c", 0, 0)]
    alarms, found = statistics.alarms(days, 1), statistics.found(days, 1)
    assert (alarms.hits, alarms.of, alarms.keys) == (2, 4, 3)
    assert (found.hits, found.of) == (2, 3)
    assert alarms.low < alarms.value < alarms.high


def test_what_leaked_is_a_share_of_the_whole_harvest():
    days = [key_day(harvested=100, before={"throttle": 20}), key_day("b", harvested=300, before={"throttle": 60})]
    assert statistics.leaked(days, "throttle") == 0.2
    assert statistics.leaked([key_day()], "throttle") == 0.0

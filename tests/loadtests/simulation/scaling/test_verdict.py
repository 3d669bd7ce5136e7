"""The bar: against the best of all others at equal hours and at equal misses, and against the oracle."""

import pytest

from loadtests.simulation.scaling.verdict import compare, frontier, hours_at, misses_at

OTHERS = [(40.0, 0.001), (10.0, 0.005), (8.0, 0.009), (7.0, 0.1), (12.0, 0.006), (9.5, 0.2)]
FRONT = [(7.0, 0.1), (8.0, 0.009), (10.0, 0.005), (40.0, 0.001)]


def test_only_who_is_beaten_by_nobody_counts():
    assert frontier(OTHERS) == FRONT


@pytest.mark.parametrize(
    ("hours", "missed"), [(6.9, None), (7.0, 0.1), (9.0, 0.007), (10.0, 0.005), (25.0, 0.003), (99.0, 0.001)]
)
def test_misses_between_two_settings_lie_between_theirs(hours, missed):
    assert misses_at(FRONT, hours) == (None if missed is None else pytest.approx(missed))


@pytest.mark.parametrize(
    ("missed", "hours"), [(0.0009, None), (0.001, 40.0), (0.003, 25.0), (0.005, 10.0), (0.007, 9.0), (0.5, 7.0)]
)
def test_hours_between_two_settings_lie_between_theirs(missed, hours):
    assert hours_at(FRONT, missed) == (None if hours is None else pytest.approx(hours))


@pytest.mark.parametrize(
    ("hours", "missed", "held"),
    [
        (8.4, 0.005, True),
        (8.6, 0.005, False),
        (9.0, 0.0034, True),
        (9.0, 0.0055, False),
        (10.5, 0.0001, False),
        (6.0, 0.3, False),
        (6.0, 0.0, False),
        (45.0, 0.0, False),
    ],
)
def test_fifteen_percent_fewer_hours_or_half_the_misses_and_near_the_oracle(hours, missed, held):
    """Cheaper at equal misses; surer at equal hours; further than 1.3 from the oracle's 8; cheaper than all but late; and better
    than all in both, which proves nothing, since nobody is as sure or as cheap.
    """
    verdict = compare((hours, missed), OTHERS, 8.0, 8.0)
    assert verdict.oracle == pytest.approx(hours / 8.0)
    assert verdict.held is held, verdict


def test_both_oracles_count():
    assert compare((8.4, 0.005), OTHERS, 8.0, 8.0).held
    assert not compare((8.4, 0.005), OTHERS, 8.0, 6.0).held

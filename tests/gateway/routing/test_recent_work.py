"""Prices of replicas that were given more than their share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.recent_work import TRIFLE, RecentWork

IDS = ["a", "b", "c", "d"]


def joined(**options) -> RecentWork:
    work = RecentWork(**options)
    for engine in IDS:
        work.join(engine)
    return work


def prices(work: RecentWork, engines: list[str], tokens: float, now: float) -> list[float]:
    shares = work.shares(engines, tokens, now)
    return [shares.price(place) for place in range(len(engines))]


def test_without_work_all_cost_the_same():
    assert prices(joined(), IDS, 0, 0.0) == [1.0] * 4


def test_who_was_given_more_is_dearer_and_the_mean_price_is_one():
    work = joined()
    unit = TRIFLE + 1000
    work.add("a", 3 * unit, 0.0)
    work.add("b", unit, 0.0)
    found = prices(work, IDS, 1000, 0.0)
    assert found == pytest.approx([2.0, 1.0, 0.5, 0.5])


def test_a_trifle_hardly_changes_a_price():
    work = joined()
    work.add("a", TRIFLE / 10, 0.0)
    assert max(prices(work, IDS, 10, 0.0)) < 1.1


def test_work_is_forgotten_by_halves():
    work = joined(half_life_s=10)
    work.add("a", 4 * (TRIFLE + 1000), 0.0)
    [dear, cheap] = prices(work, ["a", "b"], 1000, 20.0)
    assert dear / cheap == pytest.approx(2.0)


@given(st.lists(st.tuples(st.sampled_from(IDS), st.integers(0, 10**6), st.floats(0, 10_000)), max_size=30))
def test_prices_stay_positive_finite_and_one_in_the_mean_however_long_it_runs(history):
    work, now = joined(half_life_s=10), 0.0
    for engine, tokens, later in history:
        now += later
        work.add(engine, tokens, now)
    found = prices(work, IDS, 1, now)
    assert all(0 < price <= 4 for price in found)
    assert sum(found) == pytest.approx(4)


def test_a_newcomer_starts_at_the_mean_instead_of_being_flooded():
    work = joined()
    work.add("a", 3000, 0.0)
    work.add("b", 1000, 0.0)
    work.join("new")
    assert prices(work, [*IDS, "new"], 1, 0.0)[4] == pytest.approx(1.0)


def test_who_was_away_has_nothing_to_catch_up():
    work = joined(half_life_s=10)
    for second in range(30):
        work.add(IDS[second % 2], 10_000, float(second), away=["c", "d"])
    assert prices(work, IDS, 1, 30.0) == pytest.approx([1.0] * 4, rel=0.1)


def test_one_that_left_does_not_count():
    work = joined()
    work.add("a", 3000, 0.0)
    work.leave("a")
    assert prices(work, ["b", "c"], 1, 0.0) == [1.0, 1.0]
    with pytest.raises(KeyError):
        prices(work, IDS, 1, 0.0)

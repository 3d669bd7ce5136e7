import pytest

from loadtests.proportion import interval


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(0, 300, 0.0, 0.01222), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0), (0, 0, 0.0, 1.0)],
)
def test_bounds_are_those_of_the_tables(hits, trials, low, high):
    assert interval(hits, trials) == pytest.approx((low, high), abs=1e-4)


def test_more_trials_make_it_narrower():
    widths = [high - low for low, high in (interval(n // 10, n) for n in (10, 100, 1000))]
    assert widths == sorted(widths, reverse=True)

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.arithmetic import median_interval, paired_differences, paired_ratios, percentile, spread

numbers = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(numbers, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_the_smallest_value_that_enough_others_do_not_exceed(values, share):
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < max(1, share * len(values))


def test_the_99th_percentile_of_a_hundred_is_the_99th():
    assert percentile(range(1, 101), 0.99) == 99


def test_there_is_no_percentile_of_nothing():
    assert math.isnan(percentile([], 0.5))


def test_a_spread_is_a_median_with_its_range():
    found = spread([3.0, 1.0, 2.0, 10.0])
    assert (found.median, found.low, found.high, found.count) == (2.5, 1.0, 10.0, 4)


def test_ratios_and_differences_are_taken_pair_by_pair():
    assert paired_ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]
    assert paired_differences([2.0, 9.0], [1.0, 3.0]) == [1.0, 6.0]


def test_a_missing_partner_is_an_error():
    with pytest.raises(ValueError, match="zip"):
        paired_ratios([1.0], [1.0, 2.0])


def test_the_interval_of_a_median_is_the_tabulated_order_statistics():
    """Conover, Practical Nonparametric Statistics: of 20 values the 6th and the 15th, of 24 the 7th and the 18th."""
    assert median_interval(range(1, 21)) == (6, 15)
    assert median_interval([*range(24, 0, -1)]) == (7, 18)
    assert median_interval([1, 2, 3, 4, 5]) == (1, 5), "too few for the confidence"
    assert median_interval([7]) == (7, 7)

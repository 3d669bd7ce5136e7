"""The arithmetic of sliding windows."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.sliding import MARGIN_S, Counters

WINDOW = 60.0


def test_the_window_before_counts_by_the_part_that_overlaps():
    assert Counters(100, 30.0, 10, 90.0).remaining(100, WINDOW) == 40
    assert Counters(100, 0.6, 0, 0.0).remaining(100, WINDOW) == 99
    assert Counters(0, 0.0, 0, 0.0).remaining(100, WINDOW) == 100


def test_what_is_over_the_limit_leaves_nothing():
    assert Counters(500, 60.0, 500, 120.0).remaining(100, WINDOW) == 0


def test_a_window_is_as_if_unused_once_both_counts_are_forgotten():
    assert Counters(0, 0.0, 0, 0.0).full_in() == 0
    assert Counters(3, 20.0, 0, 0.0).full_in() == 20
    assert Counters(3, 20.0, 1, 80.0).full_in() == 80


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.floats(0.01, 59.99))
def test_a_place_is_free_when_it_was_said_to_be_and_not_before(previous, current, limit, left):
    def after(seconds: float) -> Counters:
        """What the counters are then if nothing else is counted."""
        if seconds < left:
            return Counters(previous, left - seconds, current, left - seconds + WINDOW)
        if seconds < left + WINDOW:
            return Counters(current, left + WINDOW - seconds, 0, 0.0)
        return Counters(0, 0.0, 0, 0.0)

    def admits(counters: Counters) -> bool:
        return counters.remaining(limit, WINDOW) >= 1

    wait = after(0).free_in(limit, WINDOW)
    assert (wait == 0) == admits(after(0))
    if wait:
        assert admits(after(wait))
        assert not admits(after(wait - 2 * MARGIN_S)) or wait <= 2 * MARGIN_S

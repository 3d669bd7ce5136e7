"""The arithmetic of token budgets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.limits.budgets import EMPTY, Budget, Meter, Refill, charged, full_in, level, refunded, settled, wait_for

MINUTE = Budget(600, 60.0, Refill.SMOOTH)
DAY = Budget(600, 86_400.0, Refill.FIXED)
EVER = Budget(600, 0.0, Refill.NEVER)
NOON = 20_000 * 86_400.0 + 43_200.0

budgets = st.sampled_from([MINUTE, DAY, EVER])
times = st.floats(0, 200_000).map(lambda seconds: NOON + seconds)
amounts = st.integers(0, 600)


def test_a_smooth_budget_drains_steadily():
    meter = charged(MINUTE, EMPTY, 600, NOON)
    assert [level(MINUTE, meter, NOON + seconds) for seconds in (0, 1, 30, 60, 90)] == [600, 590, 300, 0, 0]


def test_a_fixed_budget_is_whole_again_at_midnight():
    meter = charged(DAY, EMPTY, 600, NOON)
    assert [level(DAY, meter, NOON + seconds) for seconds in (0, 43_199, 43_200)] == [600, 600, 0]


def test_a_lifetime_is_used_up_for_good():
    assert level(EVER, charged(EVER, EMPTY, 600, NOON), NOON + 1e9) == 600


@pytest.mark.parametrize(
    ("budget", "tokens", "wait"),
    [(MINUTE, 100, 0.0), (MINUTE, 110, 1.0), (MINUTE, 600, 50.0), (DAY, 101, 43_200.0), (EVER, 101, None)],
)
def test_what_does_not_fit_is_told_when_it_will(budget, tokens, wait):
    assert wait_for(budget, Meter(500, NOON), tokens, NOON) == wait


@pytest.mark.parametrize("budget", [MINUTE, DAY, EVER])
def test_more_than_the_whole_budget_never_fits(budget):
    assert wait_for(budget, EMPTY, 601, NOON) is None


@given(budgets, st.floats(0, 600), amounts, times)
def test_after_the_wait_it_fits_and_before_it_did_not(budget, used, tokens, now):
    meter = Meter(used, now)
    wait = wait_for(budget, meter, tokens, now)
    if wait:
        assert wait_for(budget, meter, tokens, now + wait * 1.000001 + 1e-4) == 0.0
        assert wait_for(budget, meter, tokens, now + wait * 0.999 - 1e-4) != 0.0
    elif wait == 0.0:
        assert level(budget, meter, now) + tokens <= budget.limit


@given(budgets, st.floats(1, 600), times)
def test_a_meter_is_empty_when_it_said_it_would_be(budget, used, now):
    meter = Meter(used, now)
    seconds = full_in(budget, meter, now)
    if budget is EVER:
        assert seconds is None
    else:
        assert seconds
        assert level(budget, meter, now + seconds + 1e-3) == 0
        assert level(budget, meter, now + seconds * 0.99) > 0


def test_a_refund_on_the_spot_gives_everything_back():
    for budget in (MINUTE, DAY, EVER):
        meter = charged(budget, Meter(100, NOON), 300, NOON)
        assert refunded(budget, meter, 300, NOON, NOON).used == 100


def test_a_refund_after_the_window_it_was_charged_in_gives_nothing_back():
    meter = charged(DAY, charged(DAY, EMPTY, 300, NOON), 200, NOON + 43_200)
    assert meter.used == 200
    assert refunded(DAY, meter, 300, NOON, NOON + 43_200).used == 200


def test_what_has_drained_since_cannot_be_had_back_a_second_time():
    meter = charged(MINUTE, EMPTY, 600, NOON)
    meter = charged(MINUTE, meter, 600, NOON + 60)
    assert refunded(MINUTE, meter, 600, NOON, NOON + 60).used == 600
    assert refunded(MINUTE, meter, 600, NOON + 60, NOON + 90).used == 0


def test_what_was_used_beyond_the_reservation_is_charged():
    assert settled(EVER, Meter(300, NOON), 300, 450, NOON, NOON).used == 450


def test_a_clock_that_goes_back_neither_drains_nor_fills():
    meter = charged(MINUTE, EMPTY, 300, NOON)
    assert level(MINUTE, meter, NOON - 30) == 300
    assert charged(MINUTE, meter, 10, NOON - 30) == Meter(310, NOON)


@settings(max_examples=1000, deadline=None)
@given(
    budgets,
    st.lists(
        # Coarse, so that charges and refunds meet.
        st.tuples(
            st.integers(0, 6).map(lambda n: n * 100),
            st.sampled_from([0, 0.5, 1]),
            st.integers(0, 6).map(lambda n: n * 10),
            st.integers(0, 10).map(lambda n: n * 10),
        ),
        min_size=2,
        max_size=6,
    ),
)
def test_a_meter_never_shows_less_than_one_that_knew_the_true_amounts(budget, requests):
    """(reserved, part of it used, seconds until it begins, seconds it takes): charged and settled, against charged truly."""
    steps = []
    for reserved, part, begins, takes in requests:
        steps.append((NOON + begins, 0, reserved, int(reserved * part), NOON + begins))
        steps.append((NOON + begins + takes, 1, reserved, int(reserved * part), NOON + begins))
    meter = truth = EMPTY
    for now, ends, reserved, used, since in sorted(steps):
        if ends:
            meter = settled(budget, meter, reserved, used, since, now)
        else:
            meter = charged(budget, meter, reserved, now)
            truth = charged(budget, truth, used, now)
        assert level(budget, meter, now) >= level(budget, truth, now) - 1e-6

"""What machines are compared by: the same work each time, and nothing else that runs meanwhile."""

import itertools

from loadtests.suite.calibration import TRIES, calibration_ms


def test_the_calibration_is_the_least_time_that_the_work_took():
    """All tries but the third were disturbed."""
    took = [0.004 if number == 2 else 0.01 for number in range(TRIES)]
    edges = itertools.chain.from_iterable((float(number), number + seconds) for number, seconds in enumerate(took))
    assert round(calibration_ms(lambda: None, lambda: next(edges)), 6) == 4.0


def test_the_work_takes_time_and_about_the_same_each_time():
    first, second = calibration_ms(), calibration_ms()
    assert first > 0.01
    assert 0.5 < first / second < 2

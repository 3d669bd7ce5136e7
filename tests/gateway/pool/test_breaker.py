from gateway.pool.breaker import FORGIVEN_S, MOST_S, Breaker, RetryBudget
from gateway.pool.pace import LEAST_STEPS, Pace, is_outlier


def test_a_fault_opens_for_twice_as_long_each_time_up_to_a_bound() -> None:
    breaker, now = Breaker(), 100.0
    waits = []
    for _ in range(7):
        breaker.fault(now)
        waits.append(breaker.open_until - now)
        now = breaker.open_until
    assert waits == [1, 2, 4, 8, 16, MOST_S, MOST_S]


def test_half_open_is_one_probe_at_a_time_and_an_answer_closes() -> None:
    breaker = Breaker()
    assert breaker.allows(0)
    breaker.fault(0)
    assert not breaker.allows(0.9)
    assert breaker.allows(1.0)
    breaker.probing = True
    assert not breaker.allows(1.0)
    breaker.success()
    assert breaker.allows(1.0)


def test_a_fault_is_forgotten_after_a_good_minute() -> None:
    breaker = Breaker()
    breaker.fault(0)
    breaker.fault(1)
    breaker.fault(10 + FORGIVEN_S)
    assert breaker.faults == 1


def test_retries_are_granted_in_proportion_to_successes() -> None:
    budget = RetryBudget(reserve=10, ratio=0.5)
    assert sum(budget.spend(0) for _ in range(100)) == 10
    for _ in range(8):
        budget.earn()
    assert sum(budget.spend(0) for _ in range(100)) == 4
    assert sum(budget.spend(FORGIVEN_S / 2) for _ in range(100)) == 5


def steps(pace: Pace, took: list[float], now: float = 0) -> float:
    pace.step(now, busy=True)
    for one in took:
        now += one
        pace.step(now, busy=True)
    return now


def test_one_long_step_is_somebodys_prompt_and_many_are_a_slow_engine() -> None:
    quick, slow = Pace(), Pace()
    now = steps(quick, [0.01] * 10 + [5.0] + [0.01] * 10)
    steps(slow, [0.2] * 20)
    assert not is_outlier(quick.step_s(now), [0.01, 0.01], 10)
    assert is_outlier(slow.step_s(4), [0.01, 0.01], 10)


def test_idle_time_is_no_step_and_old_or_scant_news_are_none() -> None:
    pace = Pace()
    now = steps(pace, [0.01] * LEAST_STEPS)
    pace.step(now + 0.01, busy=False)
    pace.step(now + 30, busy=True)
    assert pace.step_s(now + 30) < 0.011
    assert pace.step_s(now + 1000) is None
    assert Pace().step_s(0) is None


def test_without_peers_nobody_is_slow() -> None:
    assert not is_outlier(9.0, [None], 10)
    assert not is_outlier(None, [0.001], 10)
    assert not is_outlier(0.04, [0.001], 10), "too quick to matter"


def test_a_fault_of_an_engine_that_always_fails_is_a_fault_like_any_other():
    breaker, now = Breaker(), 0.0
    for _ in range(5000):
        breaker.fault(now)
        now = breaker.open_until + 1.0
    assert breaker.open_until - now < 60.0

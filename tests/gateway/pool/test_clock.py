"""Other machines' clocks, and what an engine's scheduler says of itself."""

import random
from types import SimpleNamespace

import pytest

from gateway.pool.clock import SAMPLES, Clock
from gateway.pool.core_stats import CoreStats


@pytest.mark.parametrize("skew", [0.0, 1e6, -1e6])
def test_the_offset_is_right_to_half_of_the_quickest_answer(skew: float) -> None:
    dice, clock, now = random.Random(2), Clock(), 5_000.0
    quickest = float("inf")
    for _ in range(SAMPLES):
        there, back = dice.expovariate(500), dice.expovariate(500)
        clock.observe(now, now + there + skew, now + there + back)
        quickest = min(quickest, there + back)
        now += 1
    assert clock.offset is not None
    assert abs(clock.offset + skew) <= quickest / 2 + 1e-9


def test_an_answer_that_took_long_changes_nothing() -> None:
    clock = Clock()
    clock.observe(10.0, 110.0005, 10.001)
    best = clock.offset
    clock.observe(11.0, 111.0, 14.0)
    assert clock.offset == best == pytest.approx(-100)


def test_a_clock_that_drifts_is_followed() -> None:
    clock, now = Clock(), 0.0
    for second in range(10 * SAMPLES):
        now = float(second)
        clock.observe(now, now * (1 + 1e-4), now + 0.001)
    assert clock.offset == pytest.approx(-now * 1e-4, abs=0.004)


def stats(waiting: int = 0, skipped: int = 0, kv: float = 0.0, queries: int = 0, hits: int = 0) -> SimpleNamespace:
    prefix = SimpleNamespace(queries=queries, hits=hits)
    return SimpleNamespace(
        num_waiting_reqs=waiting, num_skipped_waiting_reqs=skipped, kv_cache_usage=kv, prefix_cache_stats=prefix
    )


def test_prefix_tokens_of_all_steps_are_summed() -> None:
    core = CoreStats()
    for one in (stats(queries=10, hits=4), None, stats(queries=5, hits=5)):
        core.take(one)
    assert (core.prefix_queries, core.prefix_hits) == (15, 9)


def test_without_statistics_who_has_no_token_yet_counts_as_waiting() -> None:
    assert (CoreStats().waiting(3), CoreStats().kv_use(0.25, 3)) == (3, 0.25)


def test_old_news_of_a_core_that_has_become_idle_is_not_told() -> None:
    core = CoreStats()
    core.take(stats(waiting=2, skipped=1, kv=0.9))
    assert (core.waiting(8), core.kv_use(0.1, 8)) == (3, 0.9)
    assert (core.waiting(0), core.kv_use(0.0, 0)) == (0, 0.0)

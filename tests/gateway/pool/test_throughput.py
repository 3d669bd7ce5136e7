"""An engine's use of itself, against engines whose cost is known."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pool.meter import Meter, Step
from gateway.pool.throughput import Throughput


def work(engine: Throughput, base: float, each: float, prefill: float, batches: list[int], prompt: int) -> float:
    """Steps of an engine that takes exactly base + each · n + prefill · p; returns the clock after them."""
    now = 0.0
    engine.speed(now)
    for turn, batch in enumerate(batches):
        tokens = prompt if turn % 3 == 0 else 0
        seconds = base + each * batch + prefill * tokens
        now += seconds
        engine.step(seconds, batch, tokens)
        engine.worked(now, batch, tokens)
    return now


@given(st.floats(0.005, 0.1), st.floats(0, 0.002), st.floats(1e-5, 1e-3), st.integers(10, 1000), st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_prices_are_those_of_full_batches_though_none_was_seen(base, each, prefill, prompt, seed):
    engine, slots = Throughput(64), 64
    batches = [1 + (seed >> turn % 32 & 7) + turn % 5 for turn in range(300)]
    now = work(engine, base, each, prefill, batches, prompt)
    speed = engine.speed(now)
    assert speed.completion_s == pytest.approx(base / slots + each, rel=0.05, abs=1e-6)
    nothing = (base + each * slots) / 1000 / prompt
    assert speed.prompt_s == pytest.approx(prefill, rel=0.05, abs=max(1e-6, nothing)), (
        "but for a thousandth of a full step"
    )


def test_a_full_engine_uses_all_of_itself_and_a_small_batch_little():
    full, small = Throughput(64), Throughput(64)
    busy = [64, 63] * 600
    assert full.speed(work(full, 0.04, 0.0004, 2e-4, busy, 0)).use == pytest.approx(1.0, abs=0.05)
    assert small.speed(work(small, 0.04, 0.0004, 2e-4, [4, 3] * 600, 0)).use < 0.1


def test_an_idle_engine_forgets_its_use_and_keeps_its_prices():
    engine = Throughput(8)
    now = work(engine, 0.02, 0.001, 1e-4, [8, 7, 6] * 300, 100)
    before, after = engine.speed(now), engine.speed(now + 60)
    assert after.use < before.use / 100
    assert after.completion_s == before.completion_s > 0


def test_cached_prompt_tokens_make_prompt_tokens_cheaper():
    engine = Throughput(8)
    now = work(engine, 0.02, 0.001, 1e-4, [4, 3] * 300, 100)
    plain = engine.speed(now).prompt_s
    engine.worked(now, 0, 0, cached_tokens=engine._prompts)
    assert engine.speed(now).prompt_s == pytest.approx(plain / 2)


def test_nothing_is_known_before_the_first_step():
    assert Throughput(8).speed(5.0) == (0.0, 0.0, 0.0)


def test_the_meter_does_not_count_the_time_without_work():
    meter = Meter(8)
    now = 0.0
    for _ in range(50):
        meter.busy(now)
        for batch in (1, 2, 3, 4):
            now += 0.01 + 0.001 * batch
            meter.step(Step(decoding=batch, completed=batch), now)
        meter.idle()
        now += 5.0
    assert meter.speed(now).completion_s == pytest.approx(0.01 / 8 + 0.001, rel=0.01)

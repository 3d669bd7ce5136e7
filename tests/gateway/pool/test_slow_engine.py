"""An engine many times slower than its peers is spared for a while, and then judged by what it does then."""

import time

from gateway.pool.pace import STEPS


async def test_an_engine_that_was_slow_is_judged_anew_when_its_time_is_over(fork):
    _, _, gateway = fork
    slow, quick = gateway.pool.roster.channels
    for channel, step_s in (slow, 0.5), (quick, 0.01):
        channel.pace.last = time.monotonic()
        channel.pace.took.extend([step_s] * STEPS)
    gateway.pool.on_load(slow)
    gateway.pool.on_load(quick)
    assert (slow.breaker.faults, quick.breaker.faults) == (1, 0)
    assert not slow.breaker.allows(time.monotonic())

    slow.breaker.open_until = time.monotonic()
    gateway.pool.on_load(slow)
    assert slow.breaker.faults == 1
    assert slow.breaker.allows(time.monotonic())

    slow.pace.took.extend([0.5] * STEPS)
    gateway.pool.on_load(slow)
    assert slow.breaker.faults == 2

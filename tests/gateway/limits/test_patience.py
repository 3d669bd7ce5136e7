"""A deadline that counts what the other side takes: this process's own lateness costs nobody an answer that has come."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine
from typing import Any

import pytest
import uvloop

from gateway.limits.patience import LOOKS, patient
from gateway.limits.policy import Policy, Subject, TokenRule, window_rules
from tests.gateway.limits.test_outage import TIMEOUT, gateway

ADA = Subject("k1", "acme")
BOTH = Policy(window_rules("key", ["1000/day"]), (TokenRule("tenant", 1000, "lifetime"),))


def run(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """uvloop looks at its timers before its sockets, asyncio the other way round."""
    runner = uvloop.run if loop == "uvloop" else asyncio.run
    runner(work)


def asked(limiter) -> asyncio.Future[Any]:
    """For a place in its window and for tokens."""
    return asyncio.gather(limiter.enter(ADA, BOTH), limiter.reserve(ADA, BOTH, "m", 0, 1))


@pytest.mark.parametrize(
    ("loop", "timeout_s", "waited"), [("asyncio", 0.1, 0.1), ("uvloop", 0.1, 0.1), ("uvloop", 0.4, 0.8)]
)
def test_an_answer_that_came_while_the_loop_was_late_counts(own_redis, loop, timeout_s, waited):
    """`waited`: the part of the timeout that was over when the loop was held up."""

    async def work() -> None:
        limiter = gateway(own_redis.url, timeout_s=timeout_s)
        await asked(limiter)

        def held_up() -> None:
            threading.Timer(0.1, os.kill, (own_redis.process.pid, signal.SIGCONT)).start()
            time.sleep(0.3)

        os.kill(own_redis.process.pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(waited * timeout_s, held_up)
        await asked(limiter)
        assert limiter.problem is None
        await limiter.close()

    run(loop, work())


def test_a_loop_that_is_always_late_hears_of_a_silent_store_all_the_same(own_redis):
    async def work() -> None:
        limiter = gateway(own_redis.url)
        await asked(limiter)
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        asking, late = asked(limiter), 0
        while not asking.done():
            time.sleep(2.5 * TIMEOUT / LOOKS)
            await asyncio.sleep(0)
            late += 1
        os.kill(own_redis.process.pid, signal.SIGCONT)
        assert limiter.problem is not None
        assert late <= 6 * LOOKS
        await limiter.close()

    run("uvloop", work())


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_is_on_time_waits_for_the_timeout_and_no_longer(loop):
    async def work() -> None:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            async with patient(TIMEOUT):
                await asyncio.sleep(5)
        assert 0.99 * TIMEOUT <= time.monotonic() - begun < 10 * TIMEOUT
        async with patient(TIMEOUT / 10):
            pass
        await asyncio.sleep(TIMEOUT / 5)

    run(loop, work())

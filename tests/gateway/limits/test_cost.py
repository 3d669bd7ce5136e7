"""What the limits cost a request, the in-process store: at most 150 µs of CPU, all of them together."""

import time

from gateway.limits.limiter import Limiter, Settings
from gateway.limits.policy import Policy, Subject, TokenRule, window_rules
from gateway.limits.verdict import Permit

REQUESTS = 3000
POLICY = Policy(
    (
        *window_rules("key", ["100000/minute"]),
        *window_rules("tenant", ["100000/minute; 1000000/day"]),
        *window_rules("address", ["100000/minute"]),
    ),
    tuple(TokenRule(scope, 10**12, per) for scope in ("key", "tenant") for per in ("minute", "day", "lifetime")),
)


async def test_all_limits_of_a_request_cost_at_most_150_microseconds():
    limiter = Limiter(settings=Settings())
    limiter.open()
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        for number in range(REQUESTS):
            subject = Subject(f"k{number % 50}", f"t{number % 10}", f"203.0.113.{number % 200}")
            await limiter.enter(subject, POLICY)
            permit = await limiter.reserve(subject, POLICY, "m", 100, 200)
            assert isinstance(permit, Permit)
            with permit:
                permit.add(150)
        await limiter._settlement.flush()
        best = min(best, (time.process_time() - began) / REQUESTS)
    await limiter.close()
    assert best < 150e-6, f"{best * 1e6:.0f} µs of CPU per request for 4 windows and 6 budgets"

"""What the fair queue costs for one request, without the HTTP around it."""

import asyncio
import time
from collections.abc import Callable

from gateway.admission.admission import Admission
from gateway.admission.fair_queue import FairQueue
from gateway.admission.ticket import Capacity, Policy, Ticket

ROUNDS = 5
AMPLE = 10**9


def costs_us(count: int = 10_000) -> dict[str, float]:
    """The best of five rounds each, microseconds."""
    return {
        "admit, reports, release; nobody waits": _best(lambda: asyncio.run(_passed(count))),
        "refusal": _best(lambda: _refused(count)),
        "queued, its whole way, 1,000 tenants waiting": _best(lambda: _queued(count, tenants=1000)),
        "queued, its whole way, 10,000 tenants waiting": _best(lambda: _queued(count, tenants=10_000)),
    }


def _best(measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(ROUNDS)) * 1e6


async def _passed(count: int) -> float:
    gate = Admission(FairQueue(Policy(), Capacity(64, AMPLE)))
    ticket = Ticket("t", "k", 100, 100, key_limit=100)
    begun = time.perf_counter()
    for _ in range(count):
        permit = await gate.admit(ticket)
        with permit:  # type: ignore[union-attr]  # there is room for all
            permit.counted(90)  # type: ignore[union-attr]
            permit.prefilled(90)  # type: ignore[union-attr]
            permit.generated(50)  # type: ignore[union-attr]
    return (time.perf_counter() - begun) / count


def _refused(count: int) -> float:
    queue = FairQueue(Policy(max_requests=1000), Capacity(8, AMPLE))
    for number in range(2000):
        queue.offer(Ticket(f"t{number % 20}", f"k{number % 20}", 100, 100), 0.0)
    begun = time.perf_counter()
    for number in range(count):
        queue.offer(Ticket("t1", "k1", 100 + number, 100), 1.0 + number * 1e-4)
    return (time.perf_counter() - begun) / count


def _queued(count: int, tenants: int) -> float:
    queue = FairQueue(Policy(max_requests=AMPLE, max_tokens=AMPLE), Capacity(0, 0))
    for number in range(2 * tenants):
        queue.offer(Ticket(f"t{number % tenants}", f"k{number % tenants}", 100, 100), 0.0)
    queue.set_capacity(Capacity(8, AMPLE))
    running = queue.take(0.0)
    begun = time.perf_counter()
    for number in range(count):
        now = number * 1e-3
        assert running is not None
        queue.leave(running, now, 50)
        running = queue.take(now)
        assert running is not None
        queue.offer(running.ticket, now)
    return (time.perf_counter() - begun) / count

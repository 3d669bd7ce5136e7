"""Retry-After, replayed: refused clients come back when told to, against everyone else's arrivals, and must get a permit then."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.admission.ticket import Policy, Priority
from tests.gateway.admission.service import Client, Service, poisson

POLICY = Policy(max_requests=64, max_tokens=100_000)
SEEDS = range(3)
Length = Callable[[random.Random], int]


def varied(dice: random.Random) -> int:
    return 1 + min(2000, round(dice.expovariate(1 / 150)))


def alike(_dice: random.Random) -> int:
    return 150


def heavy(dice: random.Random) -> int:
    return 1 + min(4000, round(20 * dice.paretovariate(1.2)))


def tenants(
    number: int, rate: float, seed: int, completion: Callable[[random.Random], int] = varied, **more: object
) -> list[Client]:
    return [client for n in range(number) for client in poisson(f"t{n}", rate, 0, 60, seed, completion, **more)]


# The service manages about five requests a second.
LOADS: dict[str, Callable[[int], list[Client]]] = {
    "a tenth too much": lambda seed: [c for n in range(4) for c in poisson(f"t{n}", 1.4, 0, 150, seed, varied)],
    "twice too much": lambda seed: tenants(4, 2.5, seed),
    "thrice too much, all answers alike": lambda seed: tenants(4, 4.0, seed, alike),
    "a few answers very long": lambda seed: tenants(8, 3.0, seed, heavy),
    "a burst of one tenant on a cold service": lambda seed: [
        Client("a", 0.01 * n, 300 + n, c.completion) for n, c in enumerate(poisson("a", 100, 0, 2, seed, varied))
    ],
    "a noisy neighbour": lambda seed: [*poisson("noisy", 20, 0, 60, seed, varied), *tenants(5, 0.4, seed)],
    "all classes": lambda seed: [c for p in Priority for c in tenants(2, 1.5, seed, priority=p)],
    "unequal weights": lambda seed: [
        c for n in range(4) for c in poisson(f"t{n}", 3, 0, 60, seed, varied, weight=2.0**n)
    ],
    "many small tenants": lambda seed: tenants(60, 0.25, seed),
    "deadlines": lambda seed: tenants(4, 2.5, seed, patience_s=6.0),
    "limited keys": lambda seed: tenants(8, 1.2, seed, key_limit=4),
    "limited keys on an idle service": lambda seed: tenants(3, 1.2, seed, key_limit=2),
}


@pytest.mark.parametrize("load", LOADS)
def test_waiting_that_long_gets_in(load: str) -> None:
    promised = honest = 0
    for seed in SEEDS:
        service = Service(POLICY, seed=seed)
        clients = LOADS[load](seed)
        service.run(clients)
        assert all(client.ended_at is not None for client in clients)
        promised += service.promised
        honest += service.honest
    assert promised > 100
    assert honest >= 0.9 * promised, f"{honest} of {promised}"


def test_identical_requests_do_not_take_each_others_place_if_they_tell_their_attempt() -> None:
    service = Service(POLICY, tells_attempt=True)
    service.run([Client(f"t{n % 4}", 0.1 * n, 500, 150) for n in range(600)])
    assert service.promised > 100
    assert service.honest >= 0.95 * service.promised


def test_those_refused_together_are_spread() -> None:
    service = Service(POLICY)
    clients = [Client("a", 0.0, 300 + n, 150) for n in range(200)]
    service.run(clients)
    told = [client.refusals[0].retry_after_s for client in clients if client.refusals]
    assert len(told) > 100
    assert max(told.count(second) for second in set(told)) <= 8
    assert told == sorted(told)


def test_honesty_is_not_bought_with_idle_engines() -> None:
    """While the load lasts, the sequences are busy but for the reserve."""
    service = Service(POLICY)
    service.run(tenants(4, 2.5, 0), until=60.0)
    assert service.busy >= 0.88 * service.sequences * 60.0


def test_beside_a_flood_a_tenant_within_its_share_starts_at_once_thanks_to_the_reserve() -> None:
    def waits(reserve: float) -> list[float]:
        service = Service(replace(POLICY, reserve=reserve), sequences=64)
        modest = poisson("modest", 4.0, 5, 60, 1, varied)
        service.run([*modest, *poisson("noisy", 80, 0, 60, 1, varied)])
        assert not any(client.refusals for client in modest)
        return sorted(client.started_at - client.at for client in modest if client.started_at is not None)

    without, reserved = waits(0.0), waits(1 / 16)
    p99 = int(0.99 * len(reserved))
    assert len(reserved) > 150
    assert reserved[p99] == 0.0
    assert without[p99] > 0.2

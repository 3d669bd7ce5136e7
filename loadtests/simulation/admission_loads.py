"""Loads on the simulated service, by name and seed: from a tenth too much to a single burst. It manages about five requests a
second.
"""

import random
from collections.abc import Callable
from copy import deepcopy

from gateway.admission.ticket import Policy, Priority
from loadtests.simulation.admission_service import Client, poisson

POLICY = Policy(max_requests=64, max_tokens=100_000)
Length = Callable[[random.Random], int]
"""Completion tokens of the next request."""


def varied(dice: random.Random) -> int:
    return 1 + min(2000, round(dice.expovariate(1 / 150)))


def alike(_dice: random.Random) -> int:
    return 150


def short(_dice: random.Random) -> int:
    return 12


def heavy(dice: random.Random) -> int:
    return 1 + min(4000, round(20 * dice.paretovariate(1.2)))


def tenants(number: int, rate: float, seed: int, completion: Length = varied, **more: object) -> list[Client]:
    return [client for n in range(number) for client in poisson(f"t{n}", rate, 0, 60, seed, completion, **more)]


def bursts(number: int, rate: float, seed: int, completion: Length, **more: object) -> list[Client]:
    """So many requests at once, `rate` times a second."""
    return [deepcopy(client) for client in poisson("t", rate, 0, 60, seed, completion, **more) for _ in range(number)]


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
    "bursts of short answers on a limited key": lambda seed: bursts(6, 0.5, seed, short, key_limit=2),
}


def identical(count: int = 600) -> list[Client]:
    """Nothing but the attempt, if it is told, distinguishes one request from another of the same tenant."""
    return [Client(f"t{n % 4}", 0.1 * n, 500, 150) for n in range(count)]

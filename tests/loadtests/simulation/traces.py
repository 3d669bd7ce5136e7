"""Synthetic traces of Mooncake's form."""

import random

from loadtests.simulation.mooncake import BLOCK_TOKENS, Arrival


def conversations(requests: int, seed: int, seconds: float) -> list[Arrival]:
    """Conversations that start with one common block and grow by a few with each turn, some of them long, many ended after one."""
    rng = random.Random(seed)
    fresh = iter(range(1, 10**9))
    open_ones: list[list[int]] = []
    arrivals = []
    for number in range(requests):
        blocks = open_ones.pop(rng.randrange(len(open_ones))) if open_ones and rng.random() < 0.5 else [0]
        blocks = blocks + [next(fresh) for _ in range(1 + int(rng.expovariate(0.15)))]
        if rng.random() < 0.7:
            open_ones.append(blocks)
        length = BLOCK_TOKENS * len(blocks) - rng.randrange(BLOCK_TOKENS)
        output = 1 + int(rng.expovariate(1 / 340))
        arrivals.append(Arrival(int(1000 * seconds * number / requests), length, output, blocks))
    return arrivals

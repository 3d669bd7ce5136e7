"""The last step: one of the cheapest."""

import random
from collections.abc import Sequence


def pick(costs: Sequence[float], rng: random.Random) -> int:
    """Index of a cheapest one; among equals at random, so that gateways that see the same figures do not all go to the same
    replica. Raises ValueError when there is none.
    """
    least = min(costs)
    if costs.count(least) == 1:
        return costs.index(least)
    return rng.choice([index for index, cost in enumerate(costs) if cost == least])

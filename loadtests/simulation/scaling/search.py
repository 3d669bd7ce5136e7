"""Settings of the others, chosen with hindsight: a coarse grid, then whatever lies beside the best, until nothing beside it is new.

So an edge of a grid wins only where it is an end of what makes sense: a replica has 64 slots, and nobody looks twice a second.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from loadtests.simulation.scaling.policies import Keda, RayServe
from loadtests.simulation.scaling.world import Policy

Axes = dict[str, Sequence[float]]
RAY: Axes = {
    "target": (8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72, 80),
    "up_s": (0, 5, 15, 30),
    "down_s": (15, 30, 60, 120, 300, 600),
    "look_back_s": (5, 10, 30),
    "metrics_s": (1, 2, 10),
    "up_factor": (0.5, 1, 2),
    "down_factor": (0.25, 0.5, 1),
}
KEDA: Axes = {"threshold": (0.1, 0.25, 0.5, 1, 2, 3, 5, 10), "poll_s": (5, 15), "down_s": (15, 60, 120, 300)}
KEDA_RUNNING: Axes = KEDA | {"threshold": RAY["target"]}
COARSE: dict[str, Axes] = {
    "ray": RAY
    | {"target": (20, 32, 44, 56), "down_s": (30, 120, 600), "look_back_s": (10,), "metrics_s": (1,)}
    | {"up_s": (0,), "up_factor": (1,), "down_factor": (1,)},
    "keda": KEDA | {"threshold": (0.5, 3), "poll_s": (5,), "down_s": (60, 300)},
    "running": KEDA_RUNNING | {"threshold": (20, 32, 44, 56), "poll_s": (5,), "down_s": (60, 300)},
}
ALL: dict[str, Axes] = {"ray": RAY, "keda": KEDA, "running": KEDA_RUNNING}


R = TypeVar("R")


class Setting(NamedTuple):
    """`family` of ALL, and one value of each of its axes."""

    family: str
    values: tuple[float, ...]

    def policy(self) -> Policy:
        given: dict[str, Any] = dict(zip(ALL[self.family], self.values, strict=True))
        if self.family == "ray":
            return RayServe(**given)
        return Keda(**given, running=self.family == "running")

    def beside(self) -> Iterator["Setting"]:
        """One step on one axis."""
        for place, axis in enumerate(ALL[self.family].values()):
            at = axis.index(self.values[place])
            for other in (at - 1, at + 1):
                if 0 <= other < len(axis):
                    yield Setting(self.family, (*self.values[:place], axis[other], *self.values[place + 1 :]))


def coarse() -> list[Setting]:
    return [Setting(family, values) for family, axes in COARSE.items() for values in itertools.product(*axes.values())]


def explore(
    run: Callable[[list[Setting]], list[R]], best: Callable[[dict[Setting, R]], list[Setting]], rounds: int
) -> dict[Setting, R]:
    """All that was tried. `best` says around which settings to go on."""
    tried: dict[Setting, R] = {}
    fresh = coarse()
    for _ in range(rounds):
        tried |= zip(fresh, run(fresh), strict=True)
        fresh = sorted({near for each in best(tried) for near in each.beside()} - tried.keys())
        if not fresh:
            break
    return tried

"""Which worlds are replayed, side by side on as many cores as wanted, and what is kept of each."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

from gateway.guard.calibration import Calibration
from gateway.guard.detector import Detector
from gateway.guard.features import Snapshot
from loadtests.evaluation.replay import Campaign, KeyDay, Replay
from loadtests.traffic.call import Split
from loadtests.traffic.campaigns import PLANS, Plan
from loadtests.traffic.world import World

DRIP_DAYS = 45


@dataclass(frozen=True, slots=True)
class Task:
    """One world: `plans` are attacks among `per_family` honest tenants of each kind, for `days` days."""

    split: Split
    seed: int
    per_family: int
    days: int
    plans: tuple[Plan, ...] = ()
    snapshots: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    task: Task
    days: list[KeyDay]
    campaigns: list[Campaign]
    snapshots: list[Snapshot]


def play(task: Task, calibration: Calibration | None = None) -> Outcome:
    """With the packaged calibration unless told otherwise."""
    replay = Replay(Detector(calibration=calibration, secret=b"evaluation"))
    world = World(task.split, task.seed, per_family=task.per_family, plans=task.plans)
    replay.run(world, range(task.days), keep_snapshots=task.snapshots)
    return Outcome(task, list(replay.days.values()), list(replay.campaigns.values()), replay.snapshots)


def play_all(
    tasks: Sequence[Task], workers: int, say: Callable[[str], Any], calibration: Calibration | None = None
) -> list[Outcome]:
    """In the order of the tasks; `say` is told of each."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(play, task, calibration) for task in tasks]
        for task, future in zip(tasks, futures, strict=True):
            outcome = future.result()
            attacks = ", ".join(plan.name for plan in task.plans) or "honest traffic alone"
            say(f"{task.split.name.lower()} {task.seed}: {len(outcome.days)} key-days, {attacks}")
    return [future.result() for future in futures]


def honest(split: Split, seeds: Sequence[int], tenants: int, days: int, *, snapshots: bool = False) -> list[Task]:
    return [Task(split, seed, tenants, days, snapshots=snapshots) for seed in seeds]


def attacked(split: Split, first: int, least: int, keys: int, tenants: int, *, full: bool) -> list[Task]:
    """Each campaign in a world of its own, in `least` worlds, from the seed `first` on, and as many as bring `keys` of its keys.
    `full` is the slow drip at its real length, with a thousand keys.
    """
    plans = [replace(plan, keys=1000, days=DRIP_DAYS) if full and plan.name == "slow drip" else plan for plan in PLANS]
    return [
        Task(split, first + number, tenants, plan.days, (plan,))
        for plan in plans
        for number in range(max(least, -(-keys // plan.keys)))
    ]

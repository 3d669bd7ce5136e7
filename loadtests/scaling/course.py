"""A demonstration: one request to a sleeping model, a load that rises and falls, sleep again, and parked requests."""

import asyncio
import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import psutil

from gateway.config.autoscaling import Autoscaling
from loadtests.bench.probe import machine
from loadtests.roles import Role, role_of
from loadtests.scaling import evidence
from loadtests.scaling.compare import Beside, simulate, speeds, startups
from loadtests.scaling.evidence import Evidence
from loadtests.scaling.screenshot import TOKEN
from loadtests.scaling.share import Shares
from loadtests.scaling.watch import EVERY_S, Answer, Look, Watch, send
from loadtests.simulation.provenance import commit
from loadtests.simulation.scaling.arrivals import Arrival, poisson

MODEL = "sluice-demo"
SLOTS, TOKENS = 4, 100
SCALING = {"min_replicas": 0, "max_replicas": 3, "stabilization_s": 15.0, "down_cooldown_s": 4.0, "idle_s": 15.0}
AWAKE, UP, DOWN, ASLEEP, BACK = (
    "0 to 1: a request's first token",
    "1 to 3, from the first arrival",
    "3 to 1, from the last answer",
    "1 to 0, from the last answer",
    "0 to 1 again: first token",
)
BOUNDS_S = {AWAKE: 120.0, UP: 150.0, DOWN: 90.0, ASLEEP: 150.0, BACK: 120.0}
"""Within which each step must come."""
SHAPE = (0.3, 0.3, 2.4, 2.4, 2.4, 2.4, 2.4, 2.4, 2.4, 0.2, 0.2)
"""Load in steps of ten seconds, in full engines: little, then more than one can serve, then little."""
PARKED, APART_S, SAME_S = 2 * SLOTS, 0.3, 0.1


@dataclass(frozen=True)
class Place:
    """Where a Sluice runs. `status` is the command that shows its state; `images` a folder for pictures, or None."""

    url: str
    key: str
    management: str
    dashboard: str
    token: str
    status: Sequence[str]
    images: Path | None


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`steps` are seconds, `bounds` what was allowed. `looks` and `beside` are of the load that rises and falls."""

    started: str
    commit: str
    machine: dict[str, str]
    seed: int
    share: float
    settings: dict[str, Any]
    steps: dict[str, float]
    bounds: dict[str, float]
    requests: int
    failed: list[str]
    problems: list[str]
    parked: str
    changes: list[dict[str, Any]]
    evidence: Evidence
    beside: Beside
    arrivals: list[Arrival]
    looks: list[Look]

    @property
    def held(self) -> bool:
        return not self.failed and not self.problems


async def run(place: Place, seed: int, share: float, shares: Shares, say: Callable[[str], None]) -> Results:
    """Raises TimeoutError if a number of engines does not come at all."""

    def hold(replicas: list[int]) -> None:
        if share < 1:
            shares.hold(core for replica in replicas for core in cores(replica))

    watch = Watch(place.management, MODEL, hold)
    watching = asyncio.create_task(watch.run())
    try:
        return await _course(place, seed, share, watch, say)
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _told(place: Place, watch: Watch) -> tuple[list[dict[str, Any]], Evidence, list[str]]:
    """The policy's record and what can be read of it, as the policy goes on meanwhile: until both are of the same time."""
    tries = evidence.TRIES
    while True:
        changes = watch.record.get("changes", [])
        found, unread = await evidence.gather(place.dashboard, place.token, place.management, place.status, MODEL)
        await asyncio.sleep(2 * EVERY_S)
        tries -= 1
        if not tries or watch.record.get("changes", []) == changes:
            return changes, found, unread


async def _course(place: Place, seed: int, share: float, watch: Watch, say: Callable[[str], None]) -> Results:
    async def ask(arrivals: Sequence[Arrival]) -> list[Answer]:
        return await send(place.url, place.key, MODEL, arrivals)

    started, steps = time.strftime("%Y-%m-%dT%H:%M:%S%z"), dict[str, float]()
    say("no engine; one request")
    [first] = await ask([Arrival(0.0, 1, TOKENS)])
    steps[AWAKE] = first.ttft_s
    await watch.until(1, BOUNDS_S[AWAKE])
    await ask([Arrival(0.0, 1, TOKENS)] * SLOTS)
    alone = await ask([Arrival(0.0, 1, TOKENS)]) + await ask([Arrival(0.0, 1, TOKENS)])
    full = await ask([Arrival(0.0, 1, TOKENS)] * SLOTS) + await ask([Arrival(0.0, 1, TOKENS)] * SLOTS)
    engine = speeds(alone, full, SLOTS, TOKENS)
    rate = SLOTS / (TOKENS * engine.step_s[-1])
    points = [(10.0 * place_, rate * each) for place_, each in enumerate(SHAPE)]
    given = [each._replace(output=TOKENS) for each in poisson(points, seed)]
    say(f"one engine serves {rate:.2f} requests/s; {len(given)} requests, {max(SHAPE) * rate:.2f}/s at most")
    watch.begin()
    sending = asyncio.create_task(ask(given))
    steps[UP] = await watch.until(3, BOUNDS_S[UP])
    picture = await _picture(place)
    answers = await sending
    ended = time.monotonic()
    await watch.until(1, BOUNDS_S[DOWN])
    steps[DOWN] = time.monotonic() - ended
    await watch.until(0, BOUNDS_S[ASLEEP])
    steps[ASLEEP] = time.monotonic() - ended
    looks = list(watch.looks)
    if picture is not None:
        await picture.wait()
    say(f"asleep; {PARKED} requests, one after another")
    last = await ask([Arrival(APART_S * number, 1, TOKENS) for number in range(PARKED)])
    steps[BACK] = last[0].ttft_s
    every = [first, *alone, *full, *answers, *last]
    changes, found, unread = await _told(place, watch)
    waits = startups(looks)
    startup_s = statistics.fmean(waits) if waits else float(watch.record["startup_s"])
    return Results(
        started=started,
        commit=commit(),
        machine=machine(),
        seed=seed,
        share=share,
        settings=SCALING,
        steps={name: round(seconds, 1) for name, seconds in steps.items()},
        bounds=BOUNDS_S,
        requests=len(every) + SLOTS,
        failed=[answer.problem for answer in every if answer.problem],
        problems=[*late(steps), *disorder(last), *unread, *found.missing(changes)],
        parked=f"{len(last)}, for {last[0].ttft_s:.1f} s, {min(answer.comments for answer in last)} comments each at least",
        changes=changes,
        evidence=found,
        beside=simulate(given, engine, Autoscaling.model_validate(SCALING), startup_s, answers, looks),
        arrivals=given,
        looks=looks,
    )


def cores(replica: int) -> list[int]:
    """The engine cores below a replica's process."""
    with contextlib.suppress(psutil.Error):
        below = psutil.Process(replica).children(recursive=True)
        return [process.pid for process in below if role_of(" ".join(process.cmdline()).strip()) is Role.CORE]
    return []


def late(steps: dict[str, float]) -> list[str]:
    return [f"{name} took {took:.1f} s" for name, took in steps.items() if took > BOUNDS_S[name]]


def disorder(answers: Sequence[Answer]) -> list[str]:
    """Parked requests that began before earlier ones, and streams among them that heard nothing while they waited."""
    began = [answer.sent + answer.wait_s for answer in answers]
    problems = [
        f"parked request {place + 2} began before the one before it"
        for place, (a, b) in enumerate(pairwise(began))
        if b < a - SAME_S
    ]
    return problems + [
        f"parked request {place + 1} heard nothing" for place, answer in enumerate(answers) if not answer.comments
    ]


async def _picture(place: Place) -> asyncio.subprocess.Process | None:
    if place.images is None:
        return None
    command = [sys.executable, "-m", "loadtests.scaling.screenshot", place.dashboard, str(place.images)]
    return await asyncio.create_subprocess_exec(*command, env=os.environ | {TOKEN: place.token})

"""What is done to a running Sluice. Each fault strikes while streams are in flight and returns when it is over; whether everything
stands again is then somebody else's question.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import psutil

from gateway.pool.failover import PROVEN
from loadtests.chaos import network
from loadtests.chaos.kinds import TENANTS, once
from loadtests.chaos.load import Flight, Load
from loadtests.chaos.target import POLL_S, Engine, Standing, Target, core_of, send
from loadtests.chaos.waiting import until
from loadtests.redis_server import start_again, stop_redis

NOTICE_S: Final = 90.0
SLOWER: Final = 20
SLOW_CYCLE_S: Final = 0.2
LONG: Final = 1900
"""Tokens of a stream that outlives two engines."""
BURST_TOKENS: Final = 48
STOCKTAKING_S: Final = 10.0
"""A new controller looks for the replicas that there are; those that it cannot recover, it replaces."""


class NotHere(Exception):
    """Why a fault cannot be injected here."""


@dataclass(frozen=True)
class Sizes:
    """`in_flight`: streams that must have begun when a fault strikes; `stopped_s`: how long what is stopped stands still."""

    streams: int = 32
    rounds: int = 5
    control_s: float = 15.0
    in_flight: int = 20
    stopped_s: float = 30.0
    slow_s: float = 15.0
    burst: int = 500


QUICK: Final = Sizes(streams=24, rounds=3, control_s=6.0, in_flight=14, stopped_s=8.0, slow_s=8.0, burst=300)


@dataclass
class Scene:
    """One fault at work. `gone`: engines that must have left before all is well; `notes` end up in the table."""

    target: Target
    load: Load
    standing: Standing
    sizes: Sizes
    struck_at: float = field(default_factory=time.perf_counter)
    in_flight: int = 0
    back_at: float = 0.0
    gone: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    async def mid_stream(self) -> None:
        """Returns at a moment with enough streams in the middle: the fault strikes now."""
        await until(
            lambda: self.load.begun >= self.sizes.in_flight, NOTICE_S, "enough streams in flight", every_s=0.002
        )
        self.struck_at, self.in_flight = time.perf_counter(), self.load.begun

    async def victim(self) -> Engine:
        """The engine with the most to lose, once there are streams to lose."""
        await self.mid_stream()
        return max(await self.target.engines(), key=lambda engine: engine.requests)


async def kill_core(scene: Scene) -> None:
    await _end_core(scene, signal.SIGKILL)


async def term_core(scene: Scene) -> None:
    """It ends its requests itself, and leaves in good order."""
    await _end_core(scene, signal.SIGTERM)


async def _end_core(scene: Scene, by: signal.Signals) -> None:
    victim = await scene.victim()
    core = core_of(victim)
    await scene.mid_stream()
    send(core, by)
    scene.gone.add(victim.id)


async def kill_replica(scene: Scene) -> None:
    victim = await scene.victim()
    await scene.mid_stream()
    send(psutil.Process(victim.pid), signal.SIGKILL)
    scene.gone.add(victim.id)


async def stop_core(scene: Scene) -> None:
    await _stop(scene, core_of(await scene.victim()))


async def stop_replica(scene: Scene) -> None:
    await _stop(scene, psutil.Process((await scene.victim()).pid))


async def _stop(scene: Scene, process: psutil.Process) -> None:
    await scene.mid_stream()
    send(process, signal.SIGSTOP)
    try:
        await asyncio.sleep(scene.sizes.stopped_s)
    finally:
        send(process, signal.SIGCONT)


async def cut_channel(scene: Scene) -> None:
    if reason := network.impossible():
        raise NotHere(f"not possible here: {reason}")
    victim = await scene.victim()
    await scene.mid_stream()
    network.drop(victim.port)
    try:
        await asyncio.sleep(scene.sizes.stopped_s)
    finally:
        network.let_pass()


async def slow_core(scene: Scene) -> None:
    """It runs for a twentieth of the time."""
    victim = await scene.victim()
    core = core_of(victim)
    await scene.mid_stream()
    spared_at = 0.0
    try:
        while time.perf_counter() - scene.struck_at < scene.sizes.slow_s:
            send(core, signal.SIGSTOP)
            await asyncio.sleep(SLOW_CYCLE_S * (SLOWER - 1) / SLOWER)
            send(core, signal.SIGCONT)
            await asyncio.sleep(SLOW_CYCLE_S / SLOWER)
            if not spared_at and any(one.id == victim.id and one.faults for one in scene.standing.engines):
                spared_at = time.perf_counter()
    finally:
        send(core, signal.SIGCONT)
    if spared_at:
        scene.notes.append(f"no new work after {spared_at - scene.struck_at:.1f} s")
    else:
        scene.problems.append("the slow engine was given work all the while")


async def redeploy(scene: Scene) -> None:
    """A rolling update to another engine setting replaces every engine."""
    old = {engine.id for engine in await scene.target.engines()}
    settings = scene.target.entry["engine"]
    await scene.mid_stream()
    await scene.target.reload(engine=settings | {"max_num_batched_tokens": settings["max_num_batched_tokens"] // 2})
    scene.back_at = time.perf_counter()
    scene.gone |= old


async def scale(scene: Scene) -> None:
    """One more engine, and one less again."""
    count = scene.standing.expected
    await scene.mid_stream()
    try:
        scene.standing.expected = count + 1
        await scene.target.reload(replicas=count + 1)
        await until(lambda: scene.standing.good, NOTICE_S, "one more engine")
    finally:
        scene.standing.expected = count
    await scene.target.reload(replicas=count)


async def full_queue(scene: Scene) -> None:
    """Far more at once than engines and queue can take, from one tenant: what is refused is told so and when to come back."""
    many = [
        once(scene.target.model, f"Burst {number}: count to nine.", BURST_TOKENS, TENANTS[0])
        for number in range(scene.sizes.burst)
    ]
    await scene.mid_stream()
    await scene.load.burst(many)
    scene.notes.append(f"{scene.sizes.burst} at once")


async def kill_controller(scene: Scene) -> None:
    def controllers() -> list[psutil.Process]:
        return scene.target.processes("ServeController")

    (old,) = controllers()
    await scene.mid_stream()
    send(old, signal.SIGKILL)
    await until(lambda: any(new.pid != old.pid for new in controllers()), NOTICE_S, "another controller", every_s=0.1)
    scene.back_at = time.perf_counter()
    await asyncio.sleep(STOCKTAKING_S)


async def kill_redis(scene: Scene) -> None:
    """It is gone for a while. What may leak the model is refused meanwhile; the rest is served by a local share of the limits."""
    if (redis := scene.target.redis) is None:
        raise NotHere("redis-server is not installed")
    await scene.mid_stream()
    await asyncio.to_thread(stop_redis, redis)
    try:
        await asyncio.sleep(scene.sizes.stopped_s / 2)
    finally:
        await asyncio.to_thread(start_again, redis)
    scene.notes.append(f"gone for {scene.sizes.stopped_s / 2:.0f} s")


async def poison(scene: Scene) -> None:
    """A request whose engine dies each time it is served: alone on the first; on the second beside others, all of them well under
    way, so that nobody but it has been in two deaths.
    """
    load, target = scene.load, scene.target
    load.hold()
    await load.settled()
    marked = asyncio.create_task(load.alone(once(target.model, "Tell me a very long story.", LONG, TENANTS[0])))
    try:
        first = await _serving(scene)
        (second,) = [engine for engine in await target.engines() if engine.id != first.id]
        send(core_of(first), signal.SIGKILL)
        # What is sent to an engine that nobody misses yet would die with it.
        await until(lambda: (first.id, "up") not in _states(scene), NOTICE_S, "the first death noticed", every_s=0.1)
        load.release()
        await scene.mid_stream()
        load.hold()
        await until(lambda: all(map(_proven, load.flying)), NOTICE_S, "all streams well under way", every_s=0.002)
        scene.in_flight = load.begun
        send(core_of(second), signal.SIGKILL)
        load.release()
        scene.gone |= {first.id, second.id}
        answer = await marked
    finally:
        load.release()
        marked.cancel()
    if answer.error != "engine_poisoned":
        scene.problems.append(f"the poisonous request got {answer.error or answer.problem or 'an answer'}")
    scene.notes.append(f"the poisonous request ended with {answer.error}")


def _states(scene: Scene) -> list[tuple[str, str]]:
    return [(engine.id, engine.state) for engine in scene.standing.engines]


def _proven(flight: Flight) -> bool:
    """No newcomer to its engine any more. What is not streamed does not tell; it began with the others."""
    return not flight.item.streamed or flight.line.events > 2 * PROVEN * flight.item.choices


async def _serving(scene: Scene) -> Engine:
    """The one engine that has anything to do, seen twice: the first look may be at a request that has just ended."""
    async with asyncio.timeout(NOTICE_S):
        before: list[str] = []
        while True:
            busy = [engine for engine in await scene.target.engines() if engine.requests]
            if len(busy) == 1 and before == [busy[0].id]:
                return busy[0]
            before = [engine.id for engine in busy]
            await asyncio.sleep(POLL_S)


@dataclass(frozen=True)
class Due:
    """Refusals that are right under a fault and no failure: of whom, why (error codes), and at most what share of his answers."""

    tenants: tuple[str, ...]
    codes: tuple[str, ...]
    most: float


@dataclass(frozen=True)
class Fault:
    """`moves`: streams must have gone on with another engine, or the fault has not struck."""

    title: str
    strike: Callable[[Scene], Awaitable[None]]
    due: Due = Due((), (), 0.0)
    moves: bool = False


FULL: Final = ("tenant_queue", "queue_full", "deadline_unreachable")
FAULTS: Final[dict[str, Fault]] = {
    "core": Fault("SIGKILL of an engine core", kill_core, moves=True),
    "term-core": Fault("SIGTERM of an engine core", term_core, moves=True),
    "replica": Fault("SIGKILL of an engine replica", kill_replica, moves=True),
    "stop-core": Fault("SIGSTOP of an engine core", stop_core, moves=True),
    "stop-replica": Fault("SIGSTOP of an engine replica", stop_replica, moves=True),
    "cut": Fault("its packets dropped", cut_channel, moves=True),
    "slow": Fault(f"an engine {SLOWER}x slower", slow_core),
    "redeploy": Fault("a rolling update", redeploy),
    "scale": Fault("one more engine, one less", scale),
    "queue": Fault("a full queue", full_queue, Due(TENANTS[:1], FULL, 0.95)),
    "controller": Fault("SIGKILL of Serve's controller", kill_controller),
    "redis": Fault("death of Redis", kill_redis, Due(TENANTS, ("leak_budget_unknown",), 0.45)),
    "poison": Fault(
        "a request that kills its engine", poison, Due(TENANTS, (*FULL, "engine_unavailable"), 0.5), moves=True
    ),
}
QUICK_FAULTS: Final = ("core", "stop-core", "queue", "redis")

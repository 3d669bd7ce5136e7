"""What Serve cannot see decides: a full queue at the gateway adds an engine, and engines at work are kept. Serve itself counts no
request of either, since streams come over the engines' own sockets. And a model without any engine wakes for those who ask it.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import yaml

from loadtests.scaling.course import cores
from loadtests.scaling.share import Shares
from loadtests.scaling.watch import Answer, Watch, send, stream
from loadtests.simulation.scaling.arrivals import Arrival
from tests.live.harness import Sluice, model
from tests.live.harness import sluice as command

pytestmark = [pytest.mark.destructive(order=6), pytest.mark.slow, pytest.mark.timeout(400)]
MODEL, SLOTS, TOKENS = "sluice-demo-nf4", 8, 150
STEADY, MORE = 12, 8
"""Streams that two engines run without a queue (a fifth of the slots is kept for others), and those more that make one queue."""
SHARE = 0.25
"""Of a processor core for each engine, so that engines are what everything waits for, not this process or the gateway."""
SCALING = {
    "min_replicas": 1,
    "max_replicas": 2,
    "goal_s": 0.5,
    "use": 0.8,
    "spare": 0.0,
    "stabilization_s": 6.0,
    "down_cooldown_s": 1.0,
    "panic_s": 600.0,
}
SLEEPER = "sluice-demo-asleep"
ASLEEP = {"min_replicas": 0, "max_replicas": 1, "idle_s": 3.0}
AT_ONCE, SLEEPER_TOKENS = 2, 64
"""Streams that the sleeper's engine runs at once, one and its reserve; tokens of each, so many that the next begin well after."""
WAKE_S, SLEEP_S = 120.0, 45.0
"""Bounds of the last first token from no engine, and of going to sleep after the last answer, on a machine that is busy."""
DEADLINE_MS = "200000"
"""To the last token: the default is a minute, which an engine with a quarter of a core may not keep."""
ASKED_S, UP_S, HELD_S, LET_GO_S = 30.0, 150.0, 14.0, 60.0
"""Both engines are watched for longer than the window remembers the queue: only their own work holds them then."""


@pytest.fixture(scope="module")
def scaled(sluice: Sluice) -> Sluice:
    """The shared Sluice, one of whose models may have two engines from now on. It has a range already: its engine runs on. Another
    model comes, which sleeps.
    """
    (busy,) = (one for one in sluice.config["models"] if one["name"] == MODEL)
    busy["autoscaling"] = SCALING
    sleeper = model(SLEEPER, "demo:int8", "int8-w8a8", max_num_seqs=1) | {"autoscaling": ASLEEP}
    sluice.config["models"].append(sleeper)
    sluice.file.write_text(yaml.safe_dump(sluice.config))
    done = command("reload", "-c", sluice.file, "--timeout", 100)
    assert (done.returncode, done.stdout.strip()) == (0, "reloaded"), done.stdout + sluice.log[-3000:]
    return sluice


@pytest.fixture
def shares() -> Iterator[Shares]:
    with Shares(SHARE) as held:
        yield held


@asynccontextmanager
async def under(streams: int, running: Sluice, key: str) -> AsyncIterator[list[Answer]]:
    """So many streams at any time; their answers, complete at the end."""
    answers, over, numbers = list[Answer](), asyncio.Event(), itertools.count()
    limits = httpx.Limits(max_connections=None)
    headers = {"authorization": f"Bearer {key}", "x-sluice-deadline-ms": DEADLINE_MS}
    async with httpx.AsyncClient(trust_env=False, timeout=200, limits=limits, headers=headers) as client:

        async def one_after_another() -> None:
            while not over.is_set():
                answers.append(await stream(client, running.url, MODEL, next(numbers), Arrival(0.0, 1, TOKENS)))

        async with asyncio.TaskGroup() as group:
            for _ in range(streams):
                group.create_task(one_after_another())
            try:
                yield answers
            finally:
                over.set()


async def until_asked(watch: Watch, scaled: Sluice, target: int) -> int:
    """Until so many engines are wanted and the gateway's queue has been full, whichever a look shows first; the most requests that
    the one engine had meanwhile.
    """
    most = 0
    while not (watch.looks and watch.looks[-1].target == target and max(look.waiting for look in watch.looks) >= SLOTS):
        assert not watch.looks or watch.looks[-1].at < ASKED_S, f"not scaled up: {watch.looks}, {watch.record}"
        engines = (await asyncio.to_thread(scaled.model_status, MODEL))["engines"]
        most = max([most, *(engine["requests"] for engine in engines)])
        await asyncio.sleep(0.3)
    return most


async def test_a_full_gateway_queue_adds_an_engine_and_engines_at_work_are_kept(
    scaled: Sluice, shares: Shares, key: str
) -> None:
    watch = Watch(scaled.management, MODEL, lambda pids: shares.hold(core for pid in pids for core in cores(pid)))
    watching = asyncio.create_task(watch.run())
    try:
        async with under(STEADY, scaled, key) as steady:
            async with under(MORE, scaled, key) as more:
                most = await until_asked(watch, scaled, 2)
                assert most <= SLOTS, "the engine's own queue was not full"
                change = watch.record["changes"][-1]
                assert (change["from"], change["to"]) == (1, 2), change
                kinds = {reason.partition(":")[0] for reason in change["reasons"]}
                assert kinds & {"backlog", "oldest"}, f"engines at work alone would have done: {change}"
                await watch.until(2, UP_S)
            scaled.tree()
            watch.begin()
            await asyncio.sleep(HELD_S)
            busy = [look for look in watch.looks if look.at > SCALING["stabilization_s"]]
        await watch.until(1, LET_GO_S)
    finally:
        watching.cancel()
    assert [answer.problem for answer in (*steady, *more) if answer.problem] == []
    assert len(busy) >= 3
    assert {look.target for look in busy} == {2}, "both are at work, and wanted"
    assert sum(look.waiting for look in busy) <= len(busy), "though nobody waits at the gateway"


async def test_a_model_without_engines_wakes_for_those_who_wait_in_their_order_and_sleeps_again(
    scaled: Sluice, key: str
) -> None:
    watch = Watch(scaled.management, SLEEPER, lambda _pids: None)
    watching = asyncio.create_task(watch.run())
    try:
        await watch.until(0, 10.0)
        arrivals = [Arrival(0.3 * n, 1, SLEEPER_TOKENS) for n in range(2 * AT_ONCE)]
        asking = asyncio.create_task(send(scaled.url, key, SLEEPER, arrivals))
        await asyncio.sleep(2.0)
        assert (await asyncio.to_thread(scaled.model_status, SLEEPER))["waking"] is True
        answers = await asking
        scaled.tree()
        await watch.until(1, 10.0)
        await watch.until(0, SLEEP_S)
    finally:
        watching.cancel()
    assert [answer.problem for answer in answers if answer.problem] == []
    begun = [answer.sent + answer.ttft_s for answer in answers]
    assert max(begun[:AT_ONCE]) < min(begun[AT_ONCE:]), f"as they came, as many as run at once: {begun}"
    assert max(begun) < WAKE_S
    assert all(answer.comments for answer in answers), "streams that wait hear comments"
    kinds = [
        (change["from"], change["to"], change["reasons"][-1].partition(":")[0]) for change in watch.record["changes"]
    ]
    assert kinds == [(0, 1, "woken"), (1, 0, "idle")]

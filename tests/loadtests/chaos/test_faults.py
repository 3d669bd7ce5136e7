import asyncio
from itertools import chain, repeat
from pathlib import Path

import pytest

from gateway.pool.failover import PROVEN
from loadtests.chaos import faults
from loadtests.chaos.answers import Answer
from loadtests.chaos.faults import Scene, Sizes, poison
from loadtests.chaos.kinds import work
from loadtests.chaos.load import Flight, Line, Load
from loadtests.chaos.target import Engine, Standing, Target
from loadtests.chaos.waiting import until
from loadtests.client import Exchange

ITEMS = {item.kind: item for item in work("toy", 1, seed=1)}
KINDS = ("greedy", "two choices", "not streamed")


def engine(name: str, state: str = "up", requests: int = 0) -> Engine:
    return Engine(name, 1, 1, state, requests, 0)


class Ours(Target):
    """At the first look the second engine is still busy with what has just ended."""

    async def engines(self):
        busy = next(self.busy)
        return [engine(name, requests=int(name == busy)) for name in ("first", "second")]


class Slow(Load):
    """Once it is released, one stream of each kind begins."""

    def __init__(self, scene_of) -> None:
        super().__init__("127.0.0.1", 1, {}, [])
        self.scene_of = scene_of
        self.released_with: list[list[tuple[str, str]]] = []
        self.all_dead = asyncio.Event()

    def release(self):
        standing = self.scene_of().standing
        self.released_with.append([(one.id, one.state) for one in standing.engines])
        super().release()
        for kind in KINDS if not self.flying else ():
            line = Line()
            line._exchange = Exchange(0.0)
            self.flying.add(Flight(ITEMS[kind], line, 0.0))

    async def alone(self, item):
        del item
        await self.all_dead.wait()
        return Answer(error="engine_poisoned")

    def say(self):
        for flight in self.flying:
            if flight.item.streamed:
                flight.line._exchange.events += [b"", b""]


async def test_the_second_death_takes_no_newcomers_beside_the_poisonous_request(monkeypatch):
    monkeypatch.setattr(Ours, "busy", chain(["second"], repeat("first")), raising=False)
    target = Ours(Path("none"), Path("none"), "toy", list)
    standing = Standing(target, 2)
    standing.engines = [engine("first"), engine("second", requests=1)]
    load = Slow(lambda: scene)
    scene = Scene(target, load, standing, Sizes(in_flight=2))
    killed: list[tuple[str, dict[str, int]]] = []

    def kill(name, _signal):
        killed.append((name, {flight.item.kind: flight.line.events for flight in load.flying}))
        if name == "second":
            load.all_dead.set()
        else:
            asyncio.get_running_loop().call_later(0.15, notice)

    def notice():
        standing.engines = [engine("first", "connecting"), engine("second", requests=1)]
        asyncio.get_running_loop().create_task(go_on())

    async def go_on():
        await until(lambda: load.flying, 5, "streams")
        load.say()
        await asyncio.sleep(0.6)
        while len(killed) < 2:
            load.say()
            await asyncio.sleep(0.002)

    monkeypatch.setattr(faults, "core_of", lambda one: one.id)
    monkeypatch.setattr(faults, "send", kill)
    await poison(scene)
    (_, nobody), (second, had) = killed
    assert (nobody, second, scene.problems) == ({}, "second", [])
    assert ("first", "up") not in load.released_with[0]
    assert had["greedy"] > PROVEN
    assert had["two choices"] > 2 * PROVEN, "of each of the two"


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_has_had_little_is_a_newcomer(kind):
    line = Line()
    line._exchange = Exchange(0.0, events=[b""] * PROVEN)
    assert faults._proven(Flight(ITEMS[kind], line, 0.0)) is (kind == "not streamed")

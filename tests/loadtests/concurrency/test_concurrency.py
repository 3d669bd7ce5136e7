"""Streams that are asked for again and again, and connections that are idle: what is counted is what happened."""

import asyncio

import msgspec
import pytest
import yaml

from loadtests.concurrency.__main__ import prepared
from loadtests.concurrency.idle import ask_all, close_all, open_all
from loadtests.concurrency.results import Connections, Results, Streams
from loadtests.concurrency.session import InFlight, TooFewDescriptorsError, connections, in_flight
from loadtests.concurrency.streams import Door, Held, hold
from loadtests.drive import ROOT
from loadtests.suite.sampler import Sample
from tests.loadtests.toy_chat import Toy
from tests.waiting import soon


def door(toy: Toy) -> Door:
    return Door("127.0.0.1", toy.server_address[1], "toy", "sk")


async def test_streams_are_held_and_reissued_as_they_end(toy: Toy):
    toy.pause_s = 0.01
    held = Held()
    holding = asyncio.create_task(hold(door(toy), 12, 1.5, 8, 1, held))
    await soon(lambda: held.open == 12, 5, "all of them at once")
    await holding
    assert held.open == 0
    assert not held.problems
    assert held.completed == len(toy.asked) > 24
    assert held.tokens == 8 * held.completed
    assert toy.connections == 12, "each connection asks again"
    assert len({body["messages"][0]["content"] for body in toy.asked}) == held.completed


async def test_what_goes_wrong_is_counted_by_its_words(toy: Toy):
    toy.refuse = 1
    held = Held()
    await hold(door(toy), 1, 1.2, 4, 1, held)
    assert [(words[:10], count) for words, count in held.problems.items()] == [("status 429", 1)]
    assert held.completed > 0


async def test_idle_connections_are_asked_once_more(toy: Toy):
    idle = await open_all("127.0.0.1", toy.server_address[1], 130)
    assert (len(idle.connections), idle.refused) == (130, 0)
    idle.connections[3].close()
    await ask_all("127.0.0.1", toy.server_address[1], idle)
    assert (idle.lost, idle.silent) == (1, 0)
    assert toy.connections == 130
    close_all(idle)


def test_the_gateways_keep_alive_can_be_longer_than_the_wait():
    local = ROOT / "configs" / "local.yaml"
    assert prepared(local, 600)["gateway"]["keep_alive_s"] == 600
    assert prepared(local, None) == yaml.safe_load(local.read_text())


async def test_connections_that_cannot_be_opened_are_counted():
    assert (await open_all("127.0.0.1", 9, 3)).refused == 3


async def test_more_connections_than_descriptors_are_refused_beforehand(toy: Toy):
    def never() -> Sample:
        raise AssertionError

    with pytest.raises(TooFewDescriptorsError, match="open files"):
        await connections(door(toy), never, 10**9, 1.0, 1)


def test_streams_that_nobody_could_count_for_a_moment_were_not_gone():
    seen = [Sample(float(at), 1, 0, running, 0.0, []) for at, running in ((0, 12), (2, None), (4, 10), (6, 12))]
    assert in_flight(seen) == InFlight(12, 10, 6.0, 0.75)
    assert in_flight(seen[1:2]) == in_flight([]) == InFlight(0, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    "flaw",
    [
        {"in_flight_median": 10},
        {"in_flight_low": 949},
        {"steady_s": 299.0},
        {"seen_share": 0.94},
        {"problems": {"status 503": 1}},
        {"wanted": 0},
    ],
    ids=lambda flaw: next(iter(flaw)),
)
def test_a_thousand_streams_are_held_if_a_thousand_were_there_for_five_minutes(flaw: dict):
    fields = dict.fromkeys(Streams.__struct_fields__, 1.0) | {"problems": {}, "wanted": 1000, "steady_s": 301.0}
    fields |= {"in_flight_median": 1000, "in_flight_low": 950, "seen_share": 0.95}
    assert Streams(**fields).met
    assert not Streams(**fields | flaw).met


def test_the_committed_measurements_are_met():
    found = [
        msgspec.json.decode(file.read_bytes(), type=Results)
        for file in sorted((ROOT / "loadtests" / "results").glob("concurrency-*.json"))
    ]
    streams = [one.streams for one in found if one.streams is not None]
    idle = [one.connections for one in found if one.connections is not None]
    assert max(part.wanted for part in streams) >= 1000
    assert max(part.wanted for part in idle) >= 10_000
    assert all(part.met for part in (*streams, *idle))


@pytest.mark.parametrize(
    "flaw", [{"refused": 1}, {"lost": 1}, {"silent": 1}, {"wanted": 0}, {"seconds": 59.0}], ids=str
)
def test_one_connection_that_is_gone_fails_the_measurement(flaw: dict):
    fields = dict.fromkeys(Connections.__struct_fields__, 0) | {"wanted": 10, "seconds": 60.0}
    assert Connections(**fields).met
    assert not Connections(**fields | flaw).met

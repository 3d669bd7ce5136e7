"""A failed attack counts as stopped only if what stopped it was a defence."""

import asyncio
from pathlib import Path

import pytest

from loadtests.redteam.attack import EXPLOIT, Attack, Expected, Finding, Mode, Scene
from loadtests.redteam.session import Session
from loadtests.redteam.stage import Door, Stage
from loadtests.redteam.suite import ATTACKS
from loadtests.redteam.target import COMPLETIONS, Stopped
from loadtests.redteam.verdict import SPENT, UNKNOWN_FIELD, unclear
from tests.loadtests.redteam.test_target import server

STOPS = frozenset({UNKNOWN_FIELD})


@pytest.mark.parametrize(
    ("refusals", "ended", "proves"),
    [
        ({UNKNOWN_FIELD}, False, True),
        (set(), True, True),
        ({UNKNOWN_FIELD}, True, True),
        (set(), False, False),
        ({"503 no_engine"}, False, False),
        ({UNKNOWN_FIELD, "connection lost: closed by the server"}, False, False),
        ({SPENT}, True, False),
        ({UNKNOWN_FIELD, "out of time"}, False, False),
    ],
)
def test_only_a_declared_refusal_or_a_measured_failure_proves_anything(refusals, ended, proves):
    assert (unclear(STOPS, refusals, ended=ended) == "") is proves


def test_every_attack_that_must_fail_guarded_says_how():
    measured = {attack.id for attack in ATTACKS if attack.expected[Mode.GUARDED] == "fails" and not attack.stops}
    assert measured == {"R5s", "R12"}


def test_no_attack_is_expected_to_win_against_the_guard():
    assert {attack.expected[Mode.GUARDED] for attack in ATTACKS} == {Expected.FAILS}


async def one_request(scene: Scene) -> Finding:
    await scene.target.ask(COMPLETIONS, {})
    return Finding(True, "", {})


async def two_ways(scene: Scene) -> Finding:
    try:
        return await one_request(scene)
    except Stopped:
        scene.target.forgive()
    return Finding(False, "measured", {})


@pytest.mark.parametrize(
    ("way", "stops", "expected"),
    [
        (one_request, STOPS, True),
        (one_request, frozenset({SPENT}), False),
        (two_ways, frozenset(), True),
    ],
)
async def test_a_row_is_as_expected_only_if_its_refusals_are(tmp_path: Path, way, stops, expected):
    async with server(good=0) as (port, _):
        attack = Attack("A", "an attack", way, EXPLOIT, stops)
        stands = Stage({attack.model: Door(port, "m")}, [], None)
        stands.keys = lambda count, _tier="": ["k"] * count
        row = await Session(tmp_path, 1, print)._try(attack, Mode.GUARDED, stands, tmp_path)
    assert row.as_expected is expected
    assert not row.success


async def test_a_server_that_is_gone_stops_no_attack(tmp_path: Path):
    async def serve(_reader, writer):
        writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    attack = Attack("A", "an attack", one_request, EXPLOIT, STOPS)
    stands = Stage({attack.model: Door(running.sockets[0].getsockname()[1], "m")}, [], None)
    row = await Session(tmp_path, 1, print)._try(attack, Mode.GUARDED, stands, tmp_path)
    running.close()
    assert not row.as_expected
    assert "lost" in row.unclear

"""The short form of `make chaos`, on the Sluice that all live tests share: its faults harm no stream."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.chaos.faults import QUICK
from loadtests.chaos.results import flips_beyond_chance
from loadtests.chaos.session import Session
from loadtests.chaos.target import Target
from tests.live.harness import MODEL, STALL_S, Sluice

pytestmark = [pytest.mark.destructive(order=5), pytest.mark.slow, pytest.mark.timeout(600)]

FAULTS = ("stop-core", "controller")
"""That a killed core harms no stream is test_kills' to show."""
ENGINES = 2
SIZES = replace(QUICK, stopped_s=2.0 * STALL_S)
"""A core that stands still for longer than a gateway bears, and not for so long that its replica is replaced: three times that."""


async def test_faults_under_load_harm_no_stream(sluice: Sluice) -> None:
    state_dir = Path(sluice.config["state_dir"])
    target = Target(sluice.file, state_dir, MODEL, lambda: [process.pid for process in sluice.tree()])
    await target.reload(replicas=ENGINES)
    said: list[str] = []
    session = Session(target, sluice.config["gateway"]["listen"]["port"], SIZES, 1, said.append)
    await session.run(FAULTS, ENGINES)
    sluice.tree()

    rows = session.rows[1:]
    assert [row.fault for row in rows] == list(FAULTS)
    assert all(row.in_flight >= SIZES.in_flight for row in rows), said
    assert not [(row.fault, row.problems) for row in rows if row.failed or row.altered or row.problems], said
    assert not flips_beyond_chance(session.rows)
    assert rows[0].moved > 0, "its streams went on elsewhere, and what it still said was nobody's"
    assert rows[0].recovery_s > 0, "a core that hangs is seen to be away"
    assert sum(row.compared for row in rows) > 200, "what is not compared cannot be altered"

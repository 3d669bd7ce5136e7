"""The short form of `make chaos`, on the Sluice that all live tests share: its faults harm no stream."""

from pathlib import Path

import pytest
import yaml

from loadtests.chaos.faults import QUICK
from loadtests.chaos.results import flips_beyond_chance
from loadtests.chaos.session import Session
from loadtests.chaos.target import Target
from tests.live.harness import MODEL, Sluice

pytestmark = [pytest.mark.destructive(order=5), pytest.mark.slow, pytest.mark.timeout(600)]

FAULTS = ("stop-core", "controller")
"""That a killed core harms no stream is test_kills' to show."""
ENGINES, STALL_S = 2, 3


async def test_faults_under_load_harm_no_stream(sluice: Sluice) -> None:
    state_dir = Path(sluice.config["state_dir"])
    target = Target(sluice.file, state_dir, MODEL, lambda: [process.pid for process in sluice.tree()])
    sluice.config["gateway"]["failover"] = {"stall_s": STALL_S}
    sluice.file.write_text(yaml.safe_dump(sluice.config))
    await target.reload(replicas=ENGINES)
    said: list[str] = []
    session = Session(target, sluice.config["gateway"]["listen"]["port"], QUICK, 1, said.append)
    await session.run(FAULTS, ENGINES)
    sluice.tree()

    rows = session.rows[1:]
    assert [row.fault for row in rows] == list(FAULTS)
    assert all(row.in_flight >= QUICK.in_flight for row in rows), said
    assert not [(row.fault, row.problems) for row in rows if row.failed or row.altered or row.problems], said
    assert not flips_beyond_chance(session.rows)
    assert rows[0].moved > 0, "its streams went on elsewhere, and what it still said was nobody's"
    assert rows[0].recovery_s > 0, "a core that hangs is seen to be away"
    assert sum(row.compared for row in rows) > 200, "what is not compared cannot be altered"

"""A minute of `make loadtest`, on the Sluice that all live tests share: every objective met, nothing left behind."""

import asyncio
from pathlib import Path

import pytest

from loadtests.concurrency.idle import ask_all, close_all, open_all
from loadtests.concurrency.streams import Door, Held, hold
from loadtests.suite.gate import NAMES, Figures, judge, read_objectives
from loadtests.suite.measures import measure
from loadtests.suite.presets import PRESETS, SLO_OF
from loadtests.suite.record import Outcome
from loadtests.suite.sampler import growth
from loadtests.suite.session import Target, perform
from tests.live.harness import MODEL, Sluice

pytestmark = [pytest.mark.slow]
STREAMS, IDLE = 60, 300


def test_a_mixed_load_is_answered_right_and_leaves_nothing_behind(sluice: Sluice, tmp_path: Path) -> None:
    """With keys of its own: what it does to them is not to trouble other tests."""
    load = sluice.key("load", "--tenant", "load", "--tier", "budgeted")
    extractor = sluice.key("extractor", "--tenant", "extractor")
    metered = sluice.key("over limit", "--tenant", "metered", "--tier", "metered")
    pids = [process.pid for process in sluice.tree()]
    target = Target(sluice.url, sluice.management, MODEL, load, metered, extractor, lambda: pids, {}, {}, budgeted=True)
    said: list[str] = []
    finding = perform(target, PRESETS["smoke"], 1, tmp_path, say=said.append)

    records = finding.run.records
    objectives = read_objectives(SLO_OF["smoke"])
    found = measure(records, finding.run.end - finding.run.begin, objectives.good)
    wanted = "agent chat classify extractor impatient invalid long over-limit rag".split()
    assert [name for name, counts in found.by_persona.items() if sum(counts.values())] == wanted
    assert found.problems == []
    assert found.by_persona["over-limit"]["refused"] > 0, "who is over its limit is told so"
    assert found.by_persona["impatient"]["left"] > 0
    assert finding.faults == []
    assert all(one.queue_s is not None for one in records if one.outcome is Outcome.RIGHT and one.status == 200)
    streams = [one for one in records if one.judged]
    assert all(one.ttft_s is not None and one.ttft_s <= one.e2e_s for one in streams)
    assert max(sample.running for sample in finding.samples) > 0, "the sampler has seen it at work"

    grown = {"memory_growth_mib": growth(finding.samples)[0].growth_mib}
    figures = Figures(found.values() | finding.unloaded.values | grown, finding.unloaded.calibration_ms)
    verdicts = judge(objectives, figures, required=NAMES)
    assert len(verdicts) == len(NAMES)
    assert [verdict.line() for verdict in verdicts if not verdict.met] == []


async def test_many_streams_and_idle_connections_are_held_at_once(sluice: Sluice, key: str) -> None:
    """The short form of `python -m loadtests.concurrency`."""
    door = Door("127.0.0.1", sluice.config["gateway"]["listen"]["port"], MODEL, key)
    idle = await open_all(door.host, door.port, IDLE)
    held, seen = Held(), []
    holding = asyncio.create_task(hold(door, STREAMS, 4.0, 48, 1, held))
    while not holding.done():
        await asyncio.sleep(0.1)
        seen.append(held.open)
    await holding
    await ask_all(door.host, door.port, idle)
    close_all(idle)
    assert (dict(held.problems), idle.refused, idle.lost, idle.silent) == ({}, 0, 0, 0)
    assert max(seen) >= 0.8 * STREAMS, "a stream that has just ended is asked for again"
    assert held.completed >= STREAMS

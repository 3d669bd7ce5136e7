"""Two engines and one gateway: its queue is told to one of them, whichever comes or goes, so that nothing counts twice."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.pool.wire import HEARTBEAT_S
from tests.gateway.pool.engines import Engine
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import ScriptedCore
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory) -> AsyncIterator[Front]:
    front = Front(tmp_path_factory.mktemp("told"))
    await front.open()
    yield front
    await front.close()


async def test_one_engine_is_told_and_when_it_leaves_another(front: Front):
    first, second = front.engine, Engine("engine-2", ScriptedCore())
    second.outlet.allow([front.app.card.public_key])

    def told() -> list[bool]:
        return [[queue.gateway for queue in engine.outlet.queues] == [front.app._gateway_id] for engine in engines]

    engines = [first, second]
    await soon(lambda: told() == [True, False], 5, "the only engine is told")
    front._tell([front._card(), second.card(max_num_seqs=64)])
    await soon(lambda: len(front.backend.pool.roster.usable) == 2, 10)
    for _ in range(2):
        await asyncio.sleep(HEARTBEAT_S / 2)
        assert told() == [True, False], "another one that has come is told nothing"
    await first.outlet.leave()
    await soon(lambda: told() == [False, True], 5, "the one that stays is told")
    front._tell([second.card(max_num_seqs=64)])
    await asyncio.sleep(HEARTBEAT_S)
    assert told() == [False, True]
    await second.stop()

"""The attacks that only ask, at full speed against a real gateway: most of what was planned is never answered."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway.auth.store import KeyStore
from loadtests.redteam.attack import Mode, Scene
from loadtests.redteam.elicitation import PLANNED
from loadtests.redteam.suite import ATTACKS
from loadtests.redteam.target import Target
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    running = Front(tmp_path_factory.mktemp("redteam"), automatic=True, guard={"enforce": "quarantine"})
    await running.open()
    yield running
    await running.close()


@pytest.mark.parametrize(
    ("name", "feature"),
    [("R9a", "edits"), ("R9b", "reasoning"), ("R9c", "replayed"), ("R9e", "reasoning"), ("R9g", "reasoning")],
)
async def test_who_asks_as_attackers_do_is_stopped_while_it_asks(front: Front, name: str, feature: str) -> None:
    attack = next(one for one in ATTACKS if one.id == name)
    made, key = KeyStore(front.config.keys_file).create(name=name, tenant=name, now=0)
    front.app._store._next_check = float("-inf")
    target = Target(urlsplit(front.url).port, SPEC.name, (key,))
    finding = await attack.run(Scene(target, Path(), Mode.GUARDED, 1, {}))
    target.close()
    assert 0 < target.books.answered < PLANNED
    assert not finding.success, finding.measure
    explained = front.app._guard.explain(made.id)
    assert next(row["value"] for row in explained["features"] if row["feature"] == feature) > 1
    assert target.books.stopped.split(": ")[1][:3] in ("403", "429")

"""Engines and gateways of one test, closed after it."""

from collections.abc import AsyncIterator, Callable

import pytest

pytest.importorskip("vllm")

from gateway.pool import wire
from tests.gateway.pool.engines import Engine, Gateway, introduce


@pytest.fixture
async def engine() -> AsyncIterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(*args: object, **kwargs: object) -> Engine:
        made.append(Engine(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        await one.stop()


@pytest.fixture
async def gateway() -> AsyncIterator[Callable[..., Gateway]]:
    made: list[Gateway] = []

    def make(*args: object, **kwargs: object) -> Gateway:
        made.append(Gateway(*args, **kwargs))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def pair(engine: Callable[..., Engine], gateway: Callable[..., Gateway]) -> tuple[Engine, Gateway]:
    """One engine, one gateway, connected."""
    one, other = engine("one"), gateway()
    introduce([one], [other])
    await other.meet(one)
    return one, other


@pytest.fixture
async def fork(engine: Callable[..., Engine], gateway: Callable[..., Gateway]) -> tuple[Engine, Engine, Gateway]:
    """Two engines, one gateway, connected."""
    left, right, one = engine("left"), engine("right"), gateway()
    introduce([left, right], [one])
    await one.meet(left, right)
    return left, right, one


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats twenty times as fast."""
    monkeypatch.setattr(wire, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(wire, "SILENCE_S", 0.25)

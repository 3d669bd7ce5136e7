"""Work ends with its client, and only then."""

import asyncio
from typing import Any

import pytest

from gateway.http.disconnect import while_connected


def connection(*, leaves: bool) -> Any:
    async def receive() -> Any:
        if not leaves:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    return receive


async def test_work_is_cancelled_when_the_client_leaves() -> None:
    ended = []

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(True)

    assert not await while_connected(work(), connection(leaves=True), lambda: False)
    assert ended == [True]
    await asyncio.sleep(0)


async def test_work_runs_to_its_end_otherwise() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    assert await while_connected(work(), connection(leaves=False), lambda: False)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def work() -> None:
        await asyncio.get_running_loop().create_future()

    task = asyncio.ensure_future(while_connected(work(), connection(leaves=False), lambda: False))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_work_raises_comes_through() -> None:
    async def work() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        await while_connected(work(), connection(leaves=False), lambda: False)


async def test_a_disconnect_after_the_response_cancels_nothing() -> None:
    async def work() -> None:
        await asyncio.sleep(0.01)

    assert await while_connected(work(), connection(leaves=True), lambda: True)

"""How long `sluice up` and `sluice reload` wait, and what ends the waiting."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from deployments.preflight import StartError
from deployments.readiness import Readiness

OK = {"status": "ok", "reasons": []}
NO_PARSER = "a task failed: TypeError('no such parser')"
Answers = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.readiness.POLL_S", 0.001)


def serve(status: str, message: str = "", states: str = "RUNNING") -> SimpleNamespace:
    gateway = SimpleNamespace(replica_states={states: 1}, message=message)
    return SimpleNamespace(status=status, message="", deployments={"Gateway": gateway})


def readiness(*statuses: SimpleNamespace | None) -> tuple[Readiness, list[str]]:
    """What Serve answers, its last answer for good; and what is said."""
    left, said = list(statuses), list[str]()

    async def application() -> SimpleNamespace | None:
        return left.pop(0) if len(left) > 1 else left[0]

    return Readiness(application, said.append), said


async def ready(waiting: Readiness, answers: Callable[[str], dict[str, Any]], gateways: int = 1) -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answers(request.url.path))

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as client, asyncio.timeout(10):
        await waiting.ready(gateways, lambda: ["http://gateway"], client)


async def test_what_serve_waits_for_is_told_once_and_a_slow_start_is_not() -> None:
    slow = serve("DEPLOYING", "1 replicas that have taken more than 30s to initialize", "STARTING")
    pending = serve("DEPLOYING", "1 replicas that have taken more than 30s to be scheduled", "STARTING")
    waiting, said = readiness(None, slow, pending, pending, serve("RUNNING"))
    await waiting.running()
    assert said == [
        "Gateway: 1 starting",
        "waiting: 1 replicas that have taken more than 30s to be scheduled",
        "Gateway: 1 running",
    ]


@pytest.mark.parametrize("status", ["UNHEALTHY", "DEPLOY_FAILED"])
async def test_a_deployment_that_fails_before_or_after_it_ran_ends_the_waiting(status: str) -> None:
    waiting, _ = readiness(serve("DEPLOYING"), serve(status, "out of memory"))
    with pytest.raises(StartError, match="out of memory"):
        await waiting.running()
    waiting, _ = readiness(serve("RUNNING"), serve(status, "out of memory"))
    with pytest.raises(StartError, match="out of memory"):
        await ready(waiting, lambda _: {"status": "unavailable", "reasons": []} if _ == "/readyz" else OK)


async def test_a_gateway_that_cannot_recover_ends_the_waiting_by_its_own_reason() -> None:
    waiting, said = readiness(serve("RUNNING"))
    with pytest.raises(StartError) as failed:
        await ready(waiting, lambda _: {"status": "unavailable", "reasons": [NO_PARSER]})
    assert NO_PARSER in str(failed.value)
    assert said == [f"waiting: {NO_PARSER}"]


async def test_a_gateway_that_waits_for_its_engine_is_waited_for() -> None:
    asked: list[str] = []

    def answers(path: str) -> dict[str, Any]:
        asked.append(path)
        if path == "/readyz" and asked.count(path) < 4:
            return {"status": "unavailable", "reasons": ["no engine for model m"]}
        return OK

    waiting, said = readiness(None, serve("RUNNING"))
    await ready(waiting, answers)
    assert asked.count("/readyz") == 4
    assert said == ["waiting: no engine for model m", "Gateway: 1 running"]

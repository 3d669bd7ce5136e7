"""What the door writes down of a request that it never lets in."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from gateway.auth.keys import Principal
from gateway.config.guard import Guard as GuardConfig
from gateway.config.limits import Limits
from gateway.config.work import Admission
from gateway.guard.accounts import Accounts
from gateway.guard.leak_budgets import LeakBudgets
from gateway.guard.leaks import Shape
from gateway.guard.store import GuardStoreUnavailable
from gateway.guard.throttle import Throttle
from gateway.guard.verdict import CLEAR
from gateway.http.door import Door
from gateway.http.guarding import Guarding, Watch
from gateway.http.health import Health
from gateway.http.metering import Meters
from gateway.http.surface import SurfacePolicy
from gateway.http.tickets import Tickets
from gateway.limits.opening import open_limiter, policies
from gateway.telemetry.record import Outcome, RequestRecord

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
CALLER = Principal("k", "t", "standard", frozenset({"inference"}))


class Dead:
    """A guard whose store does not answer."""

    def verdict(self, _key: str, _tenant: str) -> Any:
        return CLEAR

    def observe(self, _seen: Any) -> None: ...
    def acted(self, _action: str, _tier: str) -> None: ...

    def reserve(self, *_: Any) -> bool:
        raise GuardStoreUnavailable("it is dead")


class Place:
    """A door whose one model is open, unless `backends` are given. `records` are of requests that have ended."""

    def __init__(self, **changes: Any) -> None:
        dead: Any = Dead()
        self.leaks = LeakBudgets(dead, Accounts(), 1.0, {}, "projection")
        backend: Any = SimpleNamespace(
            name="m", shape=Shape("m", "v1", 64, 1024), max_model_len=64, binds_tools=False, decode=str
        )
        settings: dict[str, Any] = {"backends": {"m": backend}, "known": ("m",), "policy": SurfacePolicy()} | changes
        self.door = Door(
            authenticate=lambda _headers: CALLER,
            salt=str,
            meters=Meters(open_limiter(Limits(), 1), policies(Limits()), (), dead),
            tickets=Tickets(Admission()),
            guarding=Guarding(GuardConfig(), dead, self.leaks, Throttle(6, 2, 0.25), dead),
            health=Health(list, list),
            max_body=10_000,
            **settings,
        )
        self.records: list[RequestRecord] = []
        self.bodies: list[Any] = []
        self.door.recorder.observe = lambda record, **_: self.bodies.append(record.body)
        self.door.recorder.on_end.append(self.records.append)

    async def ask(self, **body: Any) -> tuple[int, RequestRecord]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.door), base_url="http://door") as http:
            reply = await http.post("/v1/chat/completions", json=CHAT | {"model": "m"} | body)
        (record,) = self.records
        return reply.status_code, record


@pytest.fixture
def places() -> Iterator[Any]:
    made: list[Place] = []

    def place(**changes: Any) -> Place:
        made.append(Place(**changes))
        return made[-1]

    yield place
    for one in made:
        one.leaks.close()


@pytest.mark.parametrize(
    ("changes", "body", "error"),
    [
        ({"backends": {}}, {}, (503, "engine_unavailable")),
        ({}, {"logprobs": True}, (503, "leak_budget_unknown")),
        ({"policy": None}, {}, (500, "internal_error")),
        ({"backends": {"m": None}}, {}, (500, "internal_error")),
    ],
    ids=["a model that starts", "a guard without its store", "a fault in validate", "a fault in guard"],
)
async def test_an_error_of_ours_counts_for_the_model_that_was_asked_for(
    places: Any, changes: dict[str, Any], body: dict[str, Any], error: tuple[int, str]
) -> None:
    status, record = await places(**changes).ask(**body)
    assert (status, record.error) == error
    assert (record.model, record.outcome) == ("m", Outcome.ERROR)


async def test_what_the_guard_refuses_leaves_its_parameters(places: Any) -> None:
    place = places()
    status, record = await place.ask(logprobs=True, seed=1, temperature=0.5)
    assert (status, record.model) == (400, "m")
    assert place.bodies[0]["temperature"] == 0.5


@pytest.mark.parametrize("model", ["another", ["m"], {"m": 1}, None, 1])
async def test_what_no_model_is_called_is_written_nowhere(places: Any, model: object) -> None:
    status, record = await places().ask(model=model)
    assert status in (400, 404)
    assert record.model == ""


async def test_a_guard_that_fails_at_a_requests_end_hides_it_from_nobody(
    places: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_self: Watch, _status: int) -> None:
        raise OverflowError

    monkeypatch.setattr(Watch, "end", fail)
    place = places()
    told: list[str] = []
    place.door.on_error = lambda error, *_: told.append(type(error).__name__)
    status, record = await place.ask(logprobs=True, seed=1)
    assert (status, record.error) == (400, "logprobs_with_constraint")
    assert told == ["LogprobsWithConstraint"]


async def test_how_long_the_client_was_waited_for_is_written_down() -> None:
    place = Place(backends={})

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def slow(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(0.02)

    await place.door({"type": "http", "method": "GET", "path": "/v1/models", "headers": []}, receive, slow)
    place.leaks.close()
    (record,) = place.records
    assert record.begun < record.waited[0] < record.waited[1] - 0.019 < record.ended

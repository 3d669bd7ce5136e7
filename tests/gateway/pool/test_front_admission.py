"""Who may start when the engines are full, from the HTTP port to the token channel."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.http import door
from gateway.telemetry.waterfall import own_seconds, waterfall
from tests.gateway.pool.full_fronts import BODIES, SEQUENCES, Full, ask, is_empty, one_test, opened
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Full]:
    async with opened(tmp_path_factory.mktemp("admission")) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def nothing_is_left(front: Full) -> AsyncIterator[None]:
    async with one_test(front):
        yield


def words(number: int) -> dict[str, Any]:
    """A chat turn that can be told from others by its length."""
    return {"messages": [{"role": "user", "content": "x" * number}]}


async def test_a_tenant_that_comes_new_goes_before_those_who_already_run_more(front: Full) -> None:
    await front.hold("a")
    tasks = [ask(front.of("a"), **words(100)) for _ in range(2)]
    await front.waiting(2)
    tasks.append(ask(front.of("b"), **words(300)))
    await front.waiting(3)
    order = [front.prompt_of(await front.let_go_one()) for _ in range(3)]
    assert order[0] > order[1] == order[2]
    await front.let_go()
    assert [(await task).status_code for task in tasks] == [200] * 3


async def test_an_interactive_request_overtakes_batch_ones_but_for_the_one_whose_turn_it_is(front: Full) -> None:
    await front.hold()
    tasks = [ask(front.of(tenant), headers={"x-sluice-priority": "batch"}, **words(100)) for tenant in "abcd"]
    await front.waiting(4)
    tasks.append(ask(front.of("a"), headers={"x-sluice-priority": "interactive"}, **words(300)))
    await front.waiting(5)
    order = [front.prompt_of(await front.let_go_one()) for _ in range(5)]
    assert order.index(max(order)) <= 1
    await front.let_go()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_a_tenant_that_holds_its_part_of_the_queue_is_told_429(front: Full, path: str, stream: bool) -> None:
    await front.hold()
    waiting = [ask(front.of("a"), path) for _ in range(2)]
    await front.waiting(2)
    reply = await ask(front.of("a"), path, stream=stream)
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (429, "tenant_queue")
    assert int(reply.headers["retry-after"]) >= 1
    error = reply.json()["error"]
    assert f"Try again in {reply.headers['retry-after']} s." in error["message"]
    if path == "/v1/messages":
        assert error["type"] == "rate_limit_error"
    else:
        assert (error["type"], error["code"]) == ("rate_limit_error", "tenant_queue")
    assert not any(task.done() for task in waiting)
    await front.let_go()
    await asyncio.gather(*waiting)


async def test_a_full_queue_is_a_503_to_who_has_no_part_in_it(front: Full) -> None:
    await front.hold()
    waiting = [ask(front.of(tenant)) for tenant in "abcdef"]
    await front.waiting(6)
    reply = await ask(front.of("g"))
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (503, "queue_full")
    assert (reply.json()["error"]["code"], int(reply.headers["retry-after"]) >= 1) == ("queue_full", True)
    await front.let_go()
    await asyncio.gather(*waiting)


async def test_a_key_has_no_more_in_progress_than_its_tier_allows(front: Full) -> None:
    client = front.of("a", "one-at-a-time")
    first = ask(client)
    await front.asked()
    reply = await ask(client)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "key_concurrency")
    assert int(reply.headers["retry-after"]) >= 1
    await front.let_go()
    assert (await first).status_code == 200
    again = ask(client)
    await front.asked()
    await front.let_go()
    assert (await again).status_code == 200


@pytest.mark.parametrize("header", ["x-sluice-priority", "x-sluice-deadline-ms"])
async def test_a_header_that_means_nothing_is_a_400_that_names_it(front: Full, header: str) -> None:
    reply = await ask(front.of("a"), headers={header: "soon"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, header)


async def test_in_its_trace_one_that_expires_waited_and_kept_nobody_busy(front: Full) -> None:
    ended: list[Any] = []
    tell = front.app.telemetry.recorder.on_end
    tell.append(ended.append)
    await front.hold()
    await ask(front.of("a"), headers={"x-sluice-deadline-ms": "400"})
    tell.remove(ended.append)
    tree = waterfall(ended[-1])
    seconds = {stage.name: stage.seconds for stage in tree.children}
    assert (ended[-1].error, seconds["admission"] > 0.3, own_seconds(tree) < seconds["admission"]) == (
        "deadline_expired",
        True,
        True,
    )
    await front.let_go()


async def test_a_deadline_that_passes_is_a_503_to_who_wants_no_stream(front: Full) -> None:
    await front.hold()
    reply = await ask(front.of("a"), headers={"x-sluice-deadline-ms": "100"})
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (503, "deadline_expired")
    assert int(reply.headers["retry-after"]) >= 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_a_client_that_leaves_gives_up_its_place_at_once(front: Full, path: str, stream: bool) -> None:
    await front.hold()
    waiting = ask(front.of("a"), path, stream=stream)
    await front.waiting(1)
    await asyncio.sleep(0.15)
    waiting.cancel()
    begun = time.monotonic()
    await front.waiting(0)
    assert time.monotonic() - begun < 0.2
    assert (front.admission.running, len(front.at_engine)) == (SEQUENCES, SEQUENCES)


async def test_who_waits_outlasts_the_engines(front: Full) -> None:
    """Its place is kept while there is no engine; who comes meanwhile is told that there is none."""
    await front.hold()
    waiting = ask(front.of("a"))
    await front.waiting(1)
    replacing = asyncio.create_task(front.replace_engine(away_s=0.8))
    await soon(lambda: not front.backend.pool.available, 5)
    late = await ask(front.of("b"))
    assert (late.status_code, late.json()["error"]["code"]) == (503, "engine_unavailable")
    assert int(late.headers["retry-after"]) in range(30, 37), "what an engine's start may take, as none was seen yet"
    assert front.admission.waiting == 1
    await replacing
    await front.let_go()
    assert (await waiting).status_code == 200


async def test_a_deadline_passes_while_there_is_no_engine_too(front: Full) -> None:
    replacing = asyncio.create_task(front.replace_engine(away_s=0.8))
    await soon(lambda: not front.backend.pool.available, 5)
    begun = time.monotonic()
    reply = await ask(front.of("a"), headers={"x-sluice-deadline-ms": "100"})
    assert time.monotonic() - begun < 0.4, "an engine is waited for longer than that"
    assert (reply.status_code, reply.headers["x-sluice-reason"]) == (503, "deadline_expired")
    await replacing


async def test_a_request_of_more_sequences_than_an_engine_runs_is_a_400_that_says_so(front: Full) -> None:
    reply = await ask(front.of("a"), "/v1/completions", n=2, prompt=["a", "b"])
    error = reply.json()["error"]
    assert (reply.status_code, error["param"]) == (400, "n")
    assert "must be at most 2" in error["message"]


async def test_status_and_metrics_tell_of_the_queue(front: Full) -> None:
    await front.hold()
    waiting = [ask(front.of("a")), ask(front.of("b"), headers={"x-sluice-priority": "batch"})]
    await front.waiting(2)
    await ask(front.of("c"), headers={"x-sluice-deadline-ms": "100"})
    (model,) = (await front.http.get(f"{front.management}/status")).json()["models"]
    queue = model["admission"]
    assert (queue["waiting"], queue["running"], queue["refused"]["deadline_expired"] >= 1) == (2, SEQUENCES, True)
    assert {name: each["requests"] for name, each in queue["by_class"].items()} == {
        "interactive": 0,
        "standard": 1,
        "batch": 1,
    }
    assert queue["waiting_tokens"] > 0
    assert queue["oldest_s"] > 0
    text = (await front.http.get(f"{front.management}/metrics")).text
    assert 'sluice_queue_requests{class="batch",model="demo"} 1.0' in text
    assert 'sluice_queue_tokens{class="interactive",model="demo"} 0.0' in text
    assert 'sluice_queue_oldest_seconds{model="demo"} 0.' in text
    assert 'sluice_admission_refused_total{model="demo",reason="deadline_expired"}' in text
    await front.let_go()
    await asyncio.gather(*waiting)
    text = (await front.http.get(f"{front.management}/metrics")).text
    assert 'sluice_admission_wait_seconds_count{class="batch",model="demo"}' in text


async def test_a_gateway_that_stops_refuses_who_waits_and_lets_end_who_runs(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "LINGER_S", 0.3)
    async with opened(tmp_path) as front:
        await front.hold()
        whole, streamed = ask(front.of("a")), ask(front.of("b"), "/v1/messages", stream=True)
        await front.waiting(2)
        await asyncio.sleep(0.15)
        begun = time.monotonic()
        draining = asyncio.create_task(front.app.door.drain(30))
        reply = await whole
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "shutting_down")
        assert int(reply.headers["retry-after"]) >= 1
        event = (await streamed).text
        assert event.startswith(": waiting\n\n")
        assert '"overloaded_error"' in event.rsplit("event: error\n", 1)[1]
        assert (front.admission.running, front.admission.waiting) == (SEQUENCES, 0)
        await front.let_go()
        await draining
        assert time.monotonic() - begun < 5
        assert is_empty(front)

"""From a client's request to a span at a receiver: a whole gateway, its engines' clocks far ahead, and real OTLP."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

pytest.importorskip("vllm")

from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, FinishReason

from gateway.telemetry.otlp import batches_to
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.gateway.pool.scripted import TOKEN
from tests.gateway.telemetry.receivers import GrpcReceiver, HttpReceiver, Inbox, Received
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

SKEW_S = 1e6
SERVER, CLIENT, INTERNAL = 2, 3, 1
ERROR = 2
CHAT = "/v1/chat/completions"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BODY = {"model": SPEC.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50, "temperature": 0.5}
BODIES: dict[str, dict[str, Any]] = {
    "direct": BODY | {"stream": True},
    "whole": BODY,
    "tools": BODY | {"stream": True, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
}


@pytest.fixture(scope="module")
def receivers() -> Iterator[tuple[GrpcReceiver, HttpReceiver]]:
    both = GrpcReceiver(), HttpReceiver()
    yield both
    for receiver in both:
        receiver.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(
    receivers: tuple[GrpcReceiver, HttpReceiver], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Front]:
    """Every span goes to both receivers; nothing is kept by lot."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "token").write_text("secret of the receiver\n")
    traces = {"endpoint": receivers[0].url, "ratio": 0, "headers": {"X-Receiver": str(folder / "token")}}
    running = Front(folder, telemetry={"traces": traces, "service_name": "under-test"}, skew_s=SKEW_S)
    settings = running.config.telemetry.traces
    over_http = settings.model_copy(update={"endpoint": receivers[1].url, "protocol": "http"})
    tracing = running.app.telemetry._tracing
    assert tracing is not None
    tracing._provider.add_span_processor(batches_to(over_http))
    await running.open()
    yield running
    await running.close()


def traceparent(number: int, *, sampled: bool) -> tuple[str, dict[str, str]]:
    trace = f"{TRACE[:-2]}{number:02x}"
    return trace, {"traceparent": f"00-{trace}-{SPAN}-0{int(sampled)}", "tracestate": "vendor=value"}


async def ask(front: Front, body: dict[str, Any], headers: dict[str, str]) -> asyncio.Task[Any]:
    return asyncio.create_task(front.http.post(CHAT, json=body, headers=headers))


def events(front: Front, queued: float, scheduled: float) -> list[EngineCoreEvent]:
    """As the engine's core tells them: so many seconds ago by its own clock."""
    now = front.engine.core.clock()
    return [
        EngineCoreEvent(EngineCoreEventType.QUEUED, now - queued),
        EngineCoreEvent(EngineCoreEventType.SCHEDULED, now - scheduled),
    ]


async def served(front: Front) -> None:
    """Two steps of the engine, 40 ms apart; it had the request for 60 ms, 20 of them in its queue."""
    request_id = await front.asked()
    await asyncio.sleep(0.08)
    front.engine.core.say(request_id, tokens=[TOKEN], events=events(front, 0.06, 0.04), cached=1)
    await asyncio.sleep(0.04)
    front.engine.core.say(request_id, tokens=[TOKEN, TOKEN], finish=FinishReason.LENGTH)


async def arrived(front: Front, inbox: Inbox, trace: str) -> dict[str, Received]:
    """The spans of a trace by name, once the server span, which ends last, is there."""
    await soon(lambda: any(span.kind == SERVER for span in inbox.of(trace)), 10, f"trace {trace}")
    return {span.name: span for span in inbox.of(trace)}


def lies_within(child: Received, parent: Received) -> bool:
    return parent.begin <= child.begin <= child.end <= parent.end


@pytest.mark.parametrize(("number", "form"), enumerate(BODIES))
async def test_a_sampled_request_is_one_trace_from_its_client_to_the_engines_steps(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver], number: int, form: str
) -> None:
    trace, headers = traceparent(number, sampled=True)
    begun = time.time_ns()
    going = await ask(front, BODIES[form], headers)
    await served(front)
    reply = await going
    ended = time.time_ns()
    assert reply.status_code == 200
    over_grpc = await arrived(front, receivers[0].inbox, trace)
    over_http = await arrived(front, receivers[1].inbox, trace)
    assert over_grpc == over_http

    root = over_grpc[f"POST {CHAT}"]
    stages = sorted(
        (span for span in receivers[0].inbox.of(trace) if span.parent == root.id and span.name != "send"),
        key=lambda span: (span.begin, span.end),
    )
    assert [span.name for span in stages] == [
        "auth", "limits", "receive", "validate", "guard", "limits", "admission", "render", "route", "engine", "finish",
    ]  # fmt: skip
    assert (root.parent, root.kind, root.status) == (SPAN, SERVER, 0)
    assert begun <= root.begin < root.end <= ended
    for span in stages:
        assert lies_within(span, root), span
    for before, after in itertools.pairwise(stages):
        assert before.end == after.begin or (before.name, after.name) == ("engine", "finish")

    engine = over_grpc["engine"]
    parts = [over_grpc[name] for name in ("queue", "prefill", "decode")]
    assert {part.parent for part in parts} == {engine.id}
    assert all(lies_within(part, engine) for part in parts)
    assert [part.begin for part in parts[1:]] == [part.end for part in parts[:-1]]
    queue, prefill, decode = ((part.end - part.begin) / 1e6 for part in parts)
    assert queue == pytest.approx(20, abs=0.1), "the engine's own times, though its clock is 11 days ahead"
    assert 39.9 <= prefill < 80, "until the step is said, which a busy machine does late"
    assert decode >= 39
    assert engine.kind == CLIENT
    assert engine.attributes["sluice.engine.tokens"] == 3


async def test_its_attributes_follow_the_conventions(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver]
) -> None:
    trace, headers = traceparent(16, sampled=True)
    going = await ask(front, BODIES["direct"], headers)
    await served(front)
    reply = await going
    spans = await arrived(front, receivers[0].inbox, trace)
    told = spans[f"POST {CHAT}"].attributes
    expected = {
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "sluice",
        "gen_ai.request.model": SPEC.name,
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": SPEC.name,
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 1,
        "sluice.kept": "sampled",
        "sluice.request.id": reply.headers["x-request-id"],
    }
    assert {name: told.get(name) for name in expected} == expected
    assert told["gen_ai.usage.input_tokens"] > 5
    assert 0.08 < told["gen_ai.response.time_to_first_chunk"] < 5
    assert 0 < told["sluice.gateway.seconds"] < 5
    reason = spans["route"].attributes["sluice.route.reason"]
    assert reason.startswith(f"engine={front.engine.name};prefix=")
    assert "Hello" not in json.dumps([span.attributes for span in spans.values()])
    resource = spans["engine"].resource
    assert (resource["service.name"], resource["service.instance.id"]) == ("under-test", front.app._gateway_id)
    assert receivers[0].inbox.headers[-1]["x-receiver"] == "secret of the receiver"


@pytest.mark.parametrize(
    ("number", "path", "body"),
    [
        (17, CHAT, BODY),
        (18, "/v1/completions", {"model": SPEC.name, "prompt": "Hello", "max_tokens": 5}),
        (19, "/v1/messages", BODY),
        (20, "/v1/responses", {"model": SPEC.name, "input": "Hello", "max_output_tokens": 5}),
    ],
)
async def test_the_answer_has_the_id_that_its_client_was_told(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver], number: int, path: str, body: dict[str, Any]
) -> None:
    """The Responses route draws one of its own, and none is told then."""
    trace, headers = traceparent(number, sampled=True)
    going = asyncio.create_task(front.http.post(path, json=body, headers=headers))
    await served(front)
    reply = await going
    told = (await arrived(front, receivers[0].inbox, trace))[f"POST {path}"].attributes
    drawn = path == "/v1/responses"
    assert told.get("gen_ai.response.id") == (None if drawn else reply.json()["id"])
    assert drawn == (reply.headers["x-request-id"] not in reply.json()["id"])


@pytest.mark.parametrize("form", BODIES)
async def test_the_engine_is_told_of_the_trace(front: Front, form: str) -> None:
    trace, headers = traceparent(32, sampled=True)
    going = await ask(front, BODIES[form], headers)
    request_id = await front.asked()
    told = front.engine.core.requests[request_id].trace_headers
    front.engine.core.say(request_id, finish=FinishReason.STOP)
    await going
    version, same, span, flags = told["traceparent"].split("-")
    assert (version, same, flags, told["tracestate"]) == ("00", trace, "01", "vendor=value")
    assert span != SPAN


async def test_a_failover_is_kept_though_its_client_wanted_no_trace(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver]
) -> None:
    trace, headers = traceparent(48, sampled=False)
    going = await ask(front, BODIES["direct"], headers)
    request_id = await front.asked()
    first = front.engine.name
    front.engine.core.say(request_id, tokens=[TOKEN, TOKEN], events=events(front, 0.002, 0.001))
    await soon(lambda: front.backend.pool._flights[request_id].started, 5)
    assert front.engine.core.requests[request_id].trace_headers is None
    await front.replace_engine(away_s=0.35)
    await soon(lambda: request_id in front.engine.core.requests, 10, "asked again")
    front.engine.core.say(request_id, events=events(front, 0.002, 0.001), finish=FinishReason.LENGTH)
    assert (await going).text.count("z") >= 3
    for receiver in receivers:
        await arrived(front, receiver.inbox, trace)
        spans = receiver.inbox.of(trace)
        (root,) = [span for span in spans if span.kind == SERVER]
        assert root.attributes["sluice.kept"] == "failover"
        before, after = [span for span in spans if span.name == "engine"]
        routes = [span for span in spans if span.name == "route"]
        assert [span.attributes["sluice.engine.id"] for span in (before, after)] == [first, front.engine.name]
        assert [span.attributes["sluice.attempt"] for span in routes] == [1, 2]
        assert before.attributes["sluice.engine.end"] == "lost"
        (parked,) = [span for span in spans if span.name == "parked"]
        assert before.end == parked.begin < parked.end == routes[1].begin <= routes[1].end <= after.begin
        assert parked.end - parked.begin >= 0.3e9
        others_s = (root.end - root.begin - (parked.end - parked.begin)) / 1e9
        assert root.attributes["sluice.gateway.seconds"] <= others_s + 0.001, "parked is not the gateway's own time"
        (failover,) = [event for event in root.events if event[0] == "failover"]
        assert failover[1] == before.end
        assert failover[2]["sluice.engine.id"] == first
        assert [span.name for span in spans].count("decode") == 2
        assert all(lies_within(span, root) for span in spans)


async def test_an_error_is_kept_and_says_which(front: Front, receivers: tuple[GrpcReceiver, HttpReceiver]) -> None:
    trace, headers = traceparent(49, sampled=False)
    going = await ask(front, BODIES["direct"], headers)
    request_id = await front.asked()
    front.engine.core.say(request_id)
    await soon(lambda: front.backend.pool._flights[request_id].started, 5)
    replacing = asyncio.create_task(front.replace_engine(away_s=2))
    reply = await going
    await replacing
    assert "engine_lost" in reply.text
    root = (await arrived(front, receivers[0].inbox, trace))[f"POST {CHAT}"]
    assert (root.status, root.attributes["error.type"]) == (ERROR, "engine_lost")
    assert root.attributes["sluice.kept"] == "error"
    assert root.attributes["gen_ai.response.finish_reasons"] == ("lost",)


async def test_what_the_guard_refuses_is_kept(front: Front, receivers: tuple[GrpcReceiver, HttpReceiver]) -> None:
    trace, headers = traceparent(53, sampled=False)
    reply = await front.http.post(CHAT, json=BODY | {"logprobs": True, "seed": 1}, headers=headers)
    assert reply.status_code == 400
    spans = await arrived(front, receivers[0].inbox, trace)
    told = spans[f"POST {CHAT}"].attributes
    assert (told["sluice.kept"], told["sluice.guard"]) == ("guard", "exclusion")
    assert (told["http.response.status_code"], told["error.type"]) == (400, reply.json()["error"]["code"])
    assert (told["gen_ai.request.model"], told["gen_ai.request.temperature"]) == (SPEC.name, 0.5)
    assert [span.name for span in receivers[0].inbox.of(trace) if span.kind == INTERNAL][:6] == [
        "auth", "limits", "receive", "validate", "guard", "finish",
    ]  # fmt: skip


async def test_a_slow_request_is_kept(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = front.app.telemetry._tracing
    assert tracing is not None
    monkeypatch.setattr(tracing, "_settings", tracing._settings.model_copy(update={"slow_s": 0.1}))
    trace, headers = traceparent(54, sampled=False)
    going = await ask(front, BODIES["direct"], headers)
    await served(front)
    await going
    told = (await arrived(front, receivers[0].inbox, trace))[f"POST {CHAT}"].attributes
    assert told["sluice.kept"] == "slow"


async def test_what_is_not_sampled_and_goes_well_leaves_no_span(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver]
) -> None:
    trace, headers = traceparent(50, sampled=False)
    going = await ask(front, BODIES["direct"], headers)
    await served(front)
    await going
    last, headers = traceparent(51, sampled=True)
    going = await ask(front, BODIES["direct"], headers)
    await served(front)
    await going
    await arrived(front, receivers[0].inbox, last)
    assert receivers[0].inbox.of(trace) == []


async def test_content_is_told_only_when_asked_for_and_redacted_even_then(
    front: Front, receivers: tuple[GrpcReceiver, HttpReceiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = front.app.telemetry._tracing
    assert tracing is not None
    asked = tracing._settings.model_copy(update={"capture_content": True})
    monkeypatch.setattr(tracing, "_settings", asked)
    trace, headers = traceparent(52, sampled=True)
    body = BODIES["direct"] | {
        "messages": [{"role": "user", "content": "Mail ada@example.org about 4111 1111 1111 1111"}]
    }
    going = await ask(front, body, headers)
    await served(front)
    await going
    told = (await arrived(front, receivers[0].inbox, trace))[f"POST {CHAT}"].attributes
    (question,) = json.loads(told["gen_ai.input.messages"])
    assert question == {"role": "user", "parts": [{"type": "text", "content": "Mail [email] about [card]"}]}
    (answer,) = json.loads(told["gen_ai.output.messages"])
    assert answer == {"role": "assistant", "parts": [{"type": "text", "content": "zzz"}], "finish_reason": "length"}


async def test_the_request_log_has_one_line_for_each_request_and_nothing_secret(front: Front) -> None:
    """Written by the requests of all tests before this one, and by one that is refused."""
    reply = await front.http.post(CHAT, json=BODY, headers={"authorization": "Bearer sk-sluice-wrong"})
    assert reply.status_code == 401
    file = front.config.state_dir / "logs" / "requests.jsonl"
    await soon(lambda: reply.headers["x-request-id"] in file.read_text(), 5)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len({line["request_id"] for line in lines}) == len(lines)
    last = lines[-1]
    assert (last["trace_id"], last["status"], last["error"]) == (last["request_id"], 401, "invalid_api_key")
    done = [line for line in lines if line["trace_id"].startswith(TRACE[:-2]) and line["outcome"] == "ok"]
    assert done
    assert all(line["tenant"] == "t" and line["completion_tokens"] >= 1 for line in done)
    for secret in (front._key, "sk-sluice", "Hello", "Bearer", "zzz"):
        assert secret not in file.read_text()


async def test_spans_are_sent_by_a_thread_of_their_own(front: Front) -> None:
    assert "OtelBatchSpanRecordProcessor" in {thread.name for thread in threading.enumerate()}

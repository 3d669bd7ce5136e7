"""A client's trace through a running Sluice and a real engine: from the gateway's port to the steps of vLLM's core."""

import secrets

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.gateway.telemetry.receivers import GrpcReceiver, Received
from tests.live.harness import MODEL, Sluice
from tests.waiting import eventually

CHAT = "/v1/chat/completions"
TOKENS = 16
SERVER = 2


def asked(url: str, key: str) -> tuple[str, httpx.Response]:
    """A trace that its client wants kept, and the answer."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    headers = {"authorization": f"Bearer {key}", "traceparent": f"00-{trace}-{span}-01"}
    turn = [{"role": "user", "content": "What is 12 + 34?"}]
    body = {"model": MODEL, "messages": turn, "stream": True, "max_tokens": TOKENS, "ignore_eos": True}
    return trace, httpx.post(url + CHAT, json=body, headers=headers, timeout=60, trust_env=False)


def arrived(otlp: GrpcReceiver, trace: str) -> dict[str, Received]:
    spans = eventually(lambda: any(s.kind == SERVER for s in otlp.inbox.of(trace)) and otlp.inbox.of(trace), 15, trace)
    assert spans
    return {span.name: span for span in spans}


@pytest.mark.parametrize("door", ["own", "haproxy"])
def test_a_trace_reaches_from_its_client_to_the_engines_steps(
    sluice: Sluice, otlp: GrpcReceiver, key: str, door: str
) -> None:
    port = sluice.config["gateway"]["haproxy" if door == "haproxy" else "listen"]["port"]
    trace, reply = asked(f"http://127.0.0.1:{port}", key)
    assert reply.status_code == 200, reply.text
    spans = arrived(otlp, trace)
    root, engine = spans[f"POST {CHAT}"], spans["engine"]
    assert root.attributes["gen_ai.usage.output_tokens"] == TOKENS
    assert root.attributes["gen_ai.response.finish_reasons"] == ("length",)
    order = ["auth", "receive", "validate", "guard", "admission", "render", "route", "engine"]
    assert [spans[name].parent for name in order] == [root.id] * len(order)
    begins = [spans[name].begin for name in order]
    assert begins == sorted(begins)
    steps = [spans[name] for name in ("queue", "prefill", "decode")]
    assert {step.parent for step in steps} == {engine.id}
    edges = [
        root.begin,
        engine.begin,
        *(edge for step in steps for edge in (step.begin, step.end)),
        engine.end,
        root.end,
    ]
    assert edges == sorted(edges), "the engine's own clock, put on the gateway's"
    assert steps[2].end - steps[2].begin > 0
    assert spans["route"].attributes["sluice.route.reason"].startswith("engine=")


def test_a_histogram_leads_to_a_trace(sluice: Sluice, otlp: GrpcReceiver, key: str) -> None:
    trace, _ = asked(sluice.url, key)
    arrived(otlp, trace)
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    text = httpx.get(f"{sluice.management}/metrics", headers=accept, timeout=10, trust_env=False).text
    told = {
        sample.exemplar.labels["trace_id"]
        for family in text_string_to_metric_families(text)
        if family.name == "sluice_time_to_first_token_seconds"
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert trace in told

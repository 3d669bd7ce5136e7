"""A client that goes away frees its engine at once: in mid-stream, and while nothing has been sent yet."""

import json
import socket
import time

import httpx
import pytest

from tests.live.harness import MODEL, Sluice
from tests.waiting import eventually

CHAT = "/v1/chat/completions"
FREED_S = 0.2
SLACK_S = 1.0
"""What a busy test machine may add: the poll itself, and a process that waits for its turn."""


def send(sluice: Sluice, key: str, body: dict[str, object]) -> socket.socket:
    payload = json.dumps(body).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    wire = socket.create_connection(("127.0.0.1", sluice.config["gateway"]["listen"]["port"]), timeout=30)
    wire.sendall(f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload)
    return wire


def freed_after(sluice: Sluice) -> float:
    """Seconds until the gateway has no stream; the engine is told in the same breath."""
    begun = time.monotonic()
    eventually(lambda: sluice.streams() == 0, 10, "no stream at the gateway", every=0.005)
    return time.monotonic() - begun


def assert_engine_is_free(sluice: Sluice) -> None:
    eventually(lambda: sluice.model_status()["engines"][0]["requests"] == 0, 5, "no request at the engine")


@pytest.fixture(autouse=True)
def idle(sluice: Sluice, http: httpx.Client) -> None:
    eventually(lambda: sluice.streams() == 0, 30, "an idle Sluice")


LONG = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1900, "ignore_eos": True}


def test_in_mid_stream(sluice: Sluice, key: str) -> None:
    wire = send(sluice, key, LONG | {"stream": True})
    assert wire.recv(4096).startswith(b"HTTP/1.1 200")
    eventually(lambda: sluice.streams() == 1, 5)
    wire.close()
    assert freed_after(sluice) < FREED_S + SLACK_S
    assert_engine_is_free(sluice)


def test_while_nothing_has_been_sent_yet(sluice: Sluice, key: str) -> None:
    """An answer that is not streamed says nothing until its end: only a watch on the connection notices."""
    wire = send(sluice, key, LONG)
    eventually(lambda: sluice.streams() == 1, 5)
    wire.close()
    assert freed_after(sluice) < FREED_S + SLACK_S
    assert_engine_is_free(sluice)


def test_during_a_queue_of_long_prefills(sluice: Sluice, key: str) -> None:
    """More prompt than the engine takes in one step: most of these are waiting for their prefill as their clients leave."""
    wires = []
    for number in range(40):
        text = f"{number} " + "word " * 700
        body = LONG | {"messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": 64}
        wires.append(send(sluice, key, body))
    eventually(lambda: sluice.streams() >= 10, 20)
    for wire in wires:
        wire.close()
    assert freed_after(sluice) < 4 * (FREED_S + SLACK_S)
    assert_engine_is_free(sluice)


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/completions"])
def test_on_every_route(sluice: Sluice, key: str, path: str) -> None:
    limit = {"max_output_tokens": 1900} if path == "/v1/responses" else {"max_tokens": 1900}
    asked = {"/v1/responses": {"input": "Hello"}, "/v1/messages": {"messages": LONG["messages"]}}.get(
        path, {"prompt": "1 2 3"}
    )
    # Neither of Anthropic's nor OpenAI's newer fields forbids the end of a sequence: a bias against it does.
    endless = {} if path == "/v1/messages" else {"ignore_eos": True}
    body = {"model": MODEL, "stream": True, "temperature": 2.0, **limit, **asked, **endless}
    headers = {"authorization": f"Bearer {key}"}
    with httpx.stream("POST", sluice.url + path, json=body, headers=headers, timeout=30, trust_env=False) as reply:
        assert reply.status_code == 200
        next(reply.iter_raw())
    assert freed_after(sluice) < FREED_S + SLACK_S
    assert_engine_is_free(sluice)


def test_a_client_that_stops_reading_holds_up_nobody_else(sluice: Sluice, key: str, http: httpx.Client) -> None:
    lazy = send(sluice, key, LONG | {"stream": True, "n": 8})
    begun = time.monotonic()
    short = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 8}
    assert http.post(CHAT, json=short).is_success
    assert time.monotonic() - begun < 10
    lazy.close()
    freed_after(sluice)

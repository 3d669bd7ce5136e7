"""What a hostile client may put on the wire beside a good request: it changes nothing, and costs only its own connection."""

import contextlib
import json
import socket

import httpx
import pytest

from tests.live.harness import MODEL, Sluice
from tests.waiting import eventually

CHAT = "/v1/chat/completions"
SUM = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "What is 17 + 25?"}],
    "temperature": 0,
    "max_tokens": 16,
}
HEADERS = {
    "x-request-disconnect-disabled": "?1",
    "x-request-timeout-seconds": "0.0001",
    "serve_multiplexed_model_id": "elsewhere",
    "x-data-parallel-rank": "7",
    "x-vllm-priority": "-1000",
    "x-session-id": "7",
    "x-request-id": "mine",
    "x-forwarded-for": "10.0.0.1",
    "x-http-method-override": "DELETE",
}


@pytest.fixture
def plain(http: httpx.Client) -> str:
    return str(http.post(CHAT, json=SUM).json()["choices"][0]["message"]["content"])


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_controls_something_elsewhere_does_nothing_here(
    http: httpx.Client, plain: str, header: str
) -> None:
    reply = http.post(CHAT, json=SUM, headers={header: HEADERS[header]})
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"] == plain
    assert reply.headers["x-request-id"] != "mine"


def raw(sluice: Sluice, sent: bytes) -> bytes:
    """What comes back until the server closes; nothing may be left of it where it closes on unread input."""
    with socket.create_connection(("127.0.0.1", sluice.config["gateway"]["listen"]["port"]), timeout=5) as wire:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(sent)
        got = b""
        try:
            while part := wire.recv(65536):
                got += part
        except ConnectionResetError:
            pass
        return got


def request(key: str, *lines: str, body: bytes = b"") -> bytes:
    head = [
        f"POST {CHAT} HTTP/1.1",
        "host: x",
        f"authorization: Bearer {key}",
        "content-type: application/json",
        *lines,
    ]
    return ("\r\n".join([*head, "connection: close"]) + "\r\n\r\n").encode() + body


def test_headers_without_end_are_cut_off(sluice: Sluice, http: httpx.Client) -> None:
    """Nobody has shown a key yet, so nothing that a connection sends may pile up."""
    endless = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"x-filler: " + b"a" * 200_000
    assert raw(sluice, endless)[:12] in (b"HTTP/1.1 431", b"")
    many = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n" + b"x-filler: a\r\n" * 20_000
    assert raw(sluice, many)[:12] in (b"HTTP/1.1 431", b"")
    assert http.get("/v1/models").status_code == 200


def test_two_lengths_of_one_body_are_no_request(sluice: Sluice, key: str) -> None:
    body = json.dumps(SUM).encode()
    both = request(key, f"content-length: {len(body)}", "transfer-encoding: chunked", body=body)
    assert raw(sluice, both).startswith(b"HTTP/1.1 400")
    twice = request(key, f"content-length: {len(body)}", "content-length: 1", body=body)
    assert raw(sluice, twice).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999999999"])
def test_a_length_that_is_none(sluice: Sluice, key: str, length: str) -> None:
    assert raw(sluice, request(key, f"content-length: {length}", body=b"{}")).split(b" ")[1] in (b"400", b"413")


def test_what_is_not_http_is_answered_with_a_closed_connection(sluice: Sluice, http: httpx.Client) -> None:
    for junk in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f",
    ):
        assert raw(sluice, junk + b"\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"")
    assert http.get("/v1/models").status_code == 200


def test_a_websocket_is_not_opened(sluice: Sluice, key: str) -> None:
    upgrade = request(
        key, "upgrade: websocket", "sec-websocket-key: eA==", "sec-websocket-version: 13", "content-length: 0"
    )
    assert b" 101 " not in raw(sluice, upgrade).split(b"\r\n")[0]


def test_a_session_of_another_tenant_gives_no_faster_prefix(sluice: Sluice, http: httpx.Client) -> None:
    """The prefix cache is split by tenant: what one tenant asked is never told as cached to another."""
    stranger = sluice.key("stranger", "--tenant", "others")
    eventually(lambda: http.get("/v1/models", headers={"authorization": f"Bearer {stranger}"}).is_success, 2)
    body = SUM | {"messages": [{"role": "user", "content": "repeat this " * 60}], "max_tokens": 1}
    first, second = (http.post(CHAT, json=body).json()["usage"] for _ in range(2))
    other = http.post(CHAT, json=body, headers={"authorization": f"Bearer {stranger}"}).json()["usage"]
    assert first["prompt_tokens"] == second["prompt_tokens"] == other["prompt_tokens"]
    assert not (other.get("prompt_tokens_details") or {}).get("cached_tokens")

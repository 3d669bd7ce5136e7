"""Every refusal: status, type and code, in OpenAI's envelope, or Anthropic's on /v1/messages."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live.harness import MODEL, Sluice

CHAT = "/v1/chat/completions"
ROUTES = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"]
MAX_BODY = 4 * 2**20
HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}


def assert_error(reply: httpx.Response, status: int, kind: str, code: str | None) -> dict[str, Any]:
    """The envelope's shape, exactly, and what it says."""
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json"), reply.text
    assert len(reply.headers["x-request-id"]) == 32
    body = reply.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == (kind, code), error
    assert "/site-packages/" not in reply.text
    assert "Traceback" not in reply.text
    return error


def test_a_body_that_is_no_json_object(http: httpx.Client) -> None:
    sent = {"content-type": "application/json"}
    for content in (b"{", b"", b"[1]", b"null", b'"text"', b'{"a": NaN}', b"\xff\xfe{}", b"[" * 100_000):
        reply = http.post(CHAT, content=content, headers=sent)
        assert_error(reply, 400, "invalid_request_error", "malformed_json")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "emperor", "content": "x"}]}, "messages[0].role"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_of_the_wrong_kind_is_named(http: httpx.Client, change: dict[str, Any], param: str) -> None:
    error = assert_error(http.post(CHAT, json=HELLO | change), 400, "invalid_request_error", None)
    assert error["param"] == param
    assert param in error["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"top_logprobs": 6, "logprobs": True}, "top_logprobs"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
    ],
    ids=["none", "too many", "too many logprobs", "an image"],
)
def test_a_value_that_is_not_on_the_list_is_named(http: httpx.Client, change: dict[str, Any], param: str) -> None:
    error = assert_error(http.post(CHAT, json=HELLO | change), 400, "invalid_request_error", "unsupported_value")
    assert error["param"] == param


@pytest.mark.parametrize(
    "field",
    [
        "cache_salt",
        "priority",
        "logprob_token_ids",
        "prompt_logprobs",
        "echo",
        "chat_template",
        "vllm_xargs",
        "no_such_field",
    ],
)
def test_a_field_that_is_not_on_the_list_is_named(http: httpx.Client, field: str) -> None:
    error = assert_error(http.post(CHAT, json=HELLO | {field: [7]}), 400, "invalid_request_error", "unknown_parameter")
    assert error["param"] == field
    assert field in error["message"]


@pytest.mark.parametrize(
    "change",
    [{"temperature": -1}, {"top_p": 7}, {"messages": []}, {"top_k": -5}, {"stop": [""]}, {"logit_bias": {"999999": 1}}],
    ids=["temperature", "top_p", "no messages", "top_k", "empty stop", "token that does not exist"],
)
def test_what_only_vllm_can_judge_is_refused_in_our_words_too(http: httpx.Client, change: dict[str, Any]) -> None:
    reply = http.post(CHAT, json=HELLO | change)
    assert_error(reply, 400, "invalid_request_error", None)


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_beyond_the_context(http: httpx.Client, stream: bool) -> None:
    messages = [{"role": "user", "content": "far too long " * 2000}]
    reply = http.post(CHAT, json=HELLO | {"messages": messages, "stream": stream})
    assert_error(reply, 400, "invalid_request_error", "context_length_exceeded")


def test_more_tokens_than_the_context_has_room_for(http: httpx.Client) -> None:
    reply = http.post(CHAT, json=HELLO | {"max_tokens": 100_000})
    assert_error(reply, 400, "invalid_request_error", "context_length_exceeded")


@pytest.mark.parametrize("name", ["nobody", "", "../etc/passwd", None, 7, ["sluice-demo"], "x" * 10_000])
def test_a_model_that_is_not_served(http: httpx.Client, name: object) -> None:
    reply = http.post(CHAT, json=HELLO | {"model": name})
    if type(name) in (int, list):
        assert_error(reply, 400, "invalid_request_error", None)
    else:
        error = assert_error(reply, 404, "invalid_request_error", "model_not_found")
        assert (error["param"], len(error["message"]) < 300) == ("model", True)


async def test_a_body_too_large_is_refused_by_its_announcement(http: httpx.Client) -> None:
    """Also to a client that looks at nothing before it has sent all, as AsyncOpenAI's."""
    async with httpx.AsyncClient(base_url=http.base_url, headers=http.headers, trust_env=False) as client:
        kind = {"content-type": "application/json"}
        reply = await client.post(CHAT, content=b" " * (5 * MAX_BODY), headers=kind)
    assert_error(reply, 413, "invalid_request_error", "request_too_large")


def test_a_body_too_large_that_was_never_announced(http: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(MAX_BODY // 2**16 + 4):
            yield b" " * 2**16

    reply = http.post(CHAT, content=parts(), headers={"content-type": "application/json"})
    assert_error(reply, 413, "invalid_request_error", "request_too_large")


@pytest.mark.parametrize("headers", [{"content-type": "text/plain"}, {}, {"content-type": "multipart/form-data"}])
def test_a_body_that_is_not_called_json(http: httpx.Client, headers: dict[str, str]) -> None:
    reply = http.post(CHAT, content=json.dumps(HELLO).encode(), headers=headers)
    assert_error(reply, 415, "invalid_request_error", "unsupported_media_type")


def test_a_compressed_body_is_not_unpacked(http: httpx.Client) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    reply = http.post(CHAT, content=b"\x1f\x8b", headers=headers)
    assert_error(reply, 415, "invalid_request_error", "unsupported_media_type")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/tokenize",
        "/v1/embeddings",
        "/v1/chat/completions/",
        "/status",
        "/pause",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_route_that_is_not_on_the_list(http: httpx.Client, method: str, path: str) -> None:
    assert_error(http.request(method, path), 404, "invalid_request_error", "unknown_url")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_a_method_that_the_route_does_not_take(http: httpx.Client, method: str) -> None:
    reply = http.request(method, CHAT)
    assert_error(reply, 405, "invalid_request_error", "method_not_allowed")
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ROUTES)
def test_no_route_answers_without_a_key(sluice: Sluice, path: str) -> None:
    reply = httpx.post(sluice.url + path, json=HELLO, trust_env=False)
    assert reply.headers["www-authenticate"] == "Bearer"
    if path == "/v1/messages":
        assert reply.status_code == 401
        assert reply.json()["error"]["type"] == "authentication_error"
        assert reply.json()["type"] == "error"
    else:
        assert_error(reply, 401, "authentication_error", "invalid_api_key")


def test_anthropics_errors_carry_the_request_id(http: httpx.Client) -> None:
    reply = http.post("/v1/messages", json={"model": MODEL, "messages": [], "max_tokens": 1, "surprise": 1})
    body = reply.json()
    assert (reply.status_code, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert "surprise" in body["error"]["message"]
    assert body["request_id"] == reply.headers["x-request-id"]


def test_after_all_that_the_gateway_serves(http: httpx.Client) -> None:
    assert http.post(CHAT, json=HELLO).status_code == 200

"""Errors as clients see them."""

import json

import pytest

from gateway.errors import (
    FACES,
    ConfigError,
    Internal,
    InvalidRequest,
    MethodNotAllowed,
    NoEngine,
    RateLimited,
    SluiceError,
    Unauthenticated,
    UnknownField,
)
from gateway.http import envelope

ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
}


def test_the_openai_envelope_has_its_four_fields() -> None:
    err = UnknownField("Unknown field 'spell'.", param="spell")
    assert json.loads(envelope.openai_body(err)) == {
        "error": {
            "message": "Unknown field 'spell'.",
            "type": "invalid_request_error",
            "param": "spell",
            "code": "unknown_parameter",
        }
    }


def test_the_anthropic_envelope_carries_the_request_id() -> None:
    assert json.loads(envelope.body(NoEngine("none"), "anthropic", "req-1")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "none"},
        "request_id": "req-1",
    }


@pytest.mark.parametrize("cls", FACES)
def test_every_error_has_one_of_anthropics_type_names(cls: type[SluiceError]) -> None:
    assert json.loads(envelope.anthropic_body(cls("x")))["error"]["type"] in ANTHROPIC_TYPES


@pytest.mark.parametrize("err", [Internal("/etc/keys.json is gone"), ConfigError("/etc/x.yaml", "a", "b")])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_an_internal_error_never_tells_its_cause(err: SluiceError, dialect: envelope.Dialect) -> None:
    assert b"/etc" not in envelope.body(err, dialect)


def test_a_chat_stream_gets_an_unnamed_event() -> None:
    event = envelope.sse_event(NoEngine("none"), "chat")
    assert event.startswith(b'data: {"error":{"message":"none"')
    assert event.endswith(b"\n\n")


def test_a_responses_stream_gets_a_flat_error_event() -> None:
    name, data = envelope.sse_event(NoEngine("none"), "responses", sequence_number=7).strip().split(b"\n")
    assert name == b"event: error"
    assert json.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "code": "engine_unavailable",
        "message": "none",
        "param": None,
        "sequence_number": 7,
    }


def test_a_messages_stream_gets_anthropics_error_event() -> None:
    name, data = envelope.sse_event(NoEngine("none"), "messages", request_id="r").strip().split(b"\n")
    assert name == b"event: error"
    assert data.removeprefix(b"data: ") == envelope.anthropic_body(NoEngine("none"), "r")


def test_a_line_break_in_a_message_does_not_end_the_event() -> None:
    event = envelope.sse_event(InvalidRequest("a\n\ndata: [DONE]\n\n\u2028"), "chat")
    assert event.count(b"\n") == 2


@pytest.mark.parametrize(("seconds", "header"), [(0.0, b"1"), (0.2, b"1"), (1.0, b"1"), (1.01, b"2"), (60.0, b"60")])
def test_retry_after_is_whole_seconds_rounded_up(seconds: float, header: bytes) -> None:
    assert (b"retry-after", header) in envelope.headers(RateLimited("slow down", retry_after=seconds))


def test_headers_of_the_error_itself_are_sent() -> None:
    err = MethodNotAllowed("no", headers=[("Allow", "POST")])
    assert (b"allow", b"POST") in envelope.headers(err)
    assert not any(name == b"retry-after" for name, _ in envelope.headers(err))


def test_a_401_names_the_scheme() -> None:
    assert (b"www-authenticate", b"Bearer") in envelope.headers(Unauthenticated("no"))

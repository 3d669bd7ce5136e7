"""vLLM's error answers, as it words them in 0.32, in our vocabulary."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import (
    ContextTooLong,
    Internal,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    SluiceError,
    UnsupportedMediaType,
    face_of,
)
from gateway.http.vllm_errors import MAX_MESSAGE_CHARS, from_vllm_error, vllm_error


def answer(message: str, kind: str = "BadRequestError", code: int = 400, param: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}}).encode()


@pytest.mark.parametrize(
    "message",
    [
        (
            "This model's maximum context length is 512 tokens. However, your prompt contains 600 input tokens, which "
            "exceeds this limit even without any output tokens. Please reduce the length of the input prompt. "
            "(parameter=input_tokens, value=600)"
        ),
        (
            "The decoder prompt (length 600) is longer than the maximum model length of 512. Make sure that "
            "`max_model_len` is no smaller than the number of text tokens."
        ),
        "Input length (600) exceeds model's maximum context length (512).",
        "The engine prompt length 600 exceeds the max_model_len 512. Please reduce prompt.",
        (
            "max_completion_tokens=9999 cannot be greater than max_model_len=max_total_tokens=512. Please request "
            "fewer output tokens."
        ),
    ],
)
def test_every_way_to_exceed_the_context_is_context_length_exceeded(message: str) -> None:
    err = vllm_error(400, answer(message))
    assert type(err) is ContextTooLong
    assert json.loads(from_vllm_error(400, answer(message)))["error"]["code"] == "context_length_exceeded"


def test_an_unknown_model_is_model_not_found_and_does_not_list_the_others() -> None:
    message = "The model `gpt-9` does not exist. Valid aliases: secret-a, secret-b."
    err = vllm_error(404, answer(message, "NotFoundError", 404, "model"))
    assert type(err) is ModelNotFound
    assert err.param == "model"
    assert "gpt-9" in err.message
    assert "secret" not in err.message


def test_a_validation_error_keeps_what_is_wrong_and_drops_what_was_sent() -> None:
    message = (
        "1 validation error:\n  {'type': 'int_parsing', 'loc': 'body.messages.0.n', "
        "'msg': 'Input should be a valid integer', 'input': 'my private prompt'}"
    )
    err = vllm_error(400, answer(message, "Bad Request", 400, "body.messages.0.n"))
    assert err.message == "Input should be a valid integer"
    assert err.param == "messages[0].n"


def test_the_parameter_is_read_from_the_message_where_it_is_only_there() -> None:
    err = vllm_error(400, answer("`top_p` must be in (0, 1]. (parameter=top_p, value=7.0)"))
    assert (err.message, err.param) == ("`top_p` must be in (0, 1].", "top_p")


def test_an_anthropic_answer_of_vllms_is_read_too() -> None:
    body = json.dumps({"type": "error", "error": {"type": "BadRequestError", "message": "No."}}).encode()
    assert json.loads(from_vllm_error(400, body, "anthropic", "r")) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "No."},
        "request_id": "r",
    }


@pytest.mark.parametrize(
    ("status", "cls"),
    [(415, UnsupportedMediaType), (503, Overloaded), (500, Internal), (501, Internal), (418, InvalidRequest)],
)
def test_the_status_decides_where_the_words_do_not(status: int, cls: type[SluiceError]) -> None:
    assert type(vllm_error(status, answer("words"))) is cls


@pytest.mark.parametrize("status", [500, 501, 503])
def test_texts_of_server_errors_are_never_shown(status: int) -> None:
    err = vllm_error(status, answer("EngineCore died at /opt/vllm/core.py:12"))
    assert "EngineCore" not in err.message


@pytest.mark.parametrize(
    "leak",
    [
        'Traceback (most recent call last):\n  File "/opt/x/y.py", line 3, in f\n    raise ValueError',
        'bad: File "/srv/model/run.py", line 3, in f\n    boom()',
        "cannot read /data/models/llama/config.json now",
        "object <Foo at 0x7f00aa11>",
        "bad For further information visit https://errors.pydantic.dev/2.12/v/int_parsing",
    ],
)
def test_tracebacks_paths_and_addresses_are_cut_out(leak: str) -> None:
    message = vllm_error(400, answer(f"Wrong value. {leak}")).message
    assert message.startswith("Wrong value.")
    assert not any(word in message for word in ("File", ".py", "/data", "0x7f", "pydantic.dev", "Traceback"))


@settings(max_examples=50)
@given(status=st.integers(400, 599), body=st.binary(max_size=200) | st.text().map(answer))
def test_any_answer_becomes_a_bounded_envelope(status: int, body: bytes) -> None:
    shown = json.loads(from_vllm_error(status, body))["error"]
    assert set(shown) == {"message", "type", "param", "code"}
    assert 0 < len(shown["message"]) <= MAX_MESSAGE_CHARS
    assert 400 <= face_of(vllm_error(status, body)).status < 600

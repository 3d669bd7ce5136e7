"""Errors as bytes: the OpenAI and Anthropic envelopes, their form in mid-stream, and their headers."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import SluiceError, face_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Dialect = Literal["openai", "anthropic"]
Events = Literal["chat", "responses", "messages"]

_ANTHROPIC_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}


def openai_body(err: SluiceError) -> bytes:
    return _dump({"error": _openai_error(err)})


def anthropic_body(err: SluiceError, request_id: str | None = None) -> bytes:
    return _dump({"type": "error", "error": _anthropic_error(err), "request_id": request_id})


def body(err: SluiceError, dialect: Dialect, request_id: str | None = None) -> bytes:
    return anthropic_body(err, request_id) if dialect == "anthropic" else openai_body(err)


def sse_event(err: SluiceError, events: Events, *, request_id: str | None = None, sequence_number: int = 0) -> bytes:
    """The error as the last event of a stream that has begun; a chat stream's `[DONE]` is the caller's."""
    if events == "chat":
        return b"data: " + openai_body(err) + b"\n\n"
    if events == "messages":
        return b"event: error\ndata: " + anthropic_body(err, request_id) + b"\n\n"
    error = _openai_error(err)
    event = {
        "type": "error",
        "code": error["code"],
        "message": error["message"],
        "param": error["param"],
        "sequence_number": sequence_number,
    }
    return b"event: error\ndata: " + _dump(event) + b"\n\n"


def headers(err: SluiceError) -> list[tuple[bytes, bytes]]:
    """Content type, Retry-After in whole seconds rounded up, and what the error itself carries (Allow).

    Clients of OpenAI and Anthropic repeat every 429 and 5xx by themselves unless `x-should-retry` tells them not to.
    """
    face = face_of(err)
    out = [(b"content-type", b"application/json")]
    if face.status == 401:
        out.append((b"www-authenticate", b"Bearer"))
    if err.retry_after is not None:
        out.append((b"retry-after", b"%d" % max(1, math.ceil(err.retry_after))))
    elif face.status == 429 or (face.status >= 500 and not face.retryable):
        out.append((b"x-should-retry", b"false"))
    out.extend((name.lower().encode("ascii"), value.encode("latin-1")) for name, value in err.headers)
    return out


def _openai_error(err: SluiceError) -> dict[str, str | None]:
    face = face_of(err)
    return {"message": _message(err), "type": face.type, "param": err.param, "code": face.code}


def _anthropic_error(err: SluiceError) -> dict[str, str]:
    name = _ANTHROPIC_TYPES.get(face_of(err).status, "invalid_request_error")
    return {"type": name, "message": _message(err)}


def _message(err: SluiceError) -> str:
    """A 500 never tells its cause: an error that was not made for clients may name files or settings."""
    return "Internal server error." if face_of(err).status == 500 else err.message


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")

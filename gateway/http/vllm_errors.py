"""Error answers made by vLLM's own handlers, read back into our tree so that clients see one vocabulary."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from gateway.errors import (
    BodyTooLarge,
    ContextTooLong,
    Internal,
    InvalidRequest,
    MethodNotAllowed,
    ModelNotFound,
    Overloaded,
    RateLimited,
    SluiceError,
    UnknownRoute,
    UnsupportedMediaType,
)
from gateway.http import envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MESSAGE_CHARS: Final = 400
MAX_READ_CHARS: Final = 16_384

_TOO_LONG: Final = re.compile(
    r"maximum context length|maximum model length|exceeds the max_model_len"
    r"|cannot be greater than max_(?:model_len|total_tokens)"
)
_NO_MODEL: Final = re.compile(r"[Tt]he model `(?P<model>.{0,256}?)` does not exist", re.DOTALL)
_DETAILS: Final = re.compile(r" \((?:parameter|value)=.*\)$", re.DOTALL)
_PARAMETER: Final = re.compile(r" \(parameter=([\w.\[\]]+)")
_PYDANTIC: Final = re.compile(r"'msg': ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
_SECRETIVE: Final = re.compile(
    r"Traceback \(most recent call last\).*"
    r"|\s*File \"[^\"]*\", line \d+[^\n]*(?:\n[^\n]*)?"
    r"|\s*For further information visit \S+"
    r"| at 0x[0-9a-fA-F]+"
    r"|<path>"
    r"|(?<![\w:/.])/(?:[\w.\-]+/)+[\w.\-]+",
    re.DOTALL,
)

_BY_STATUS: Final[Mapping[int, type[SluiceError]]] = {
    405: MethodNotAllowed,
    413: BodyTooLarge,
    415: UnsupportedMediaType,
    429: RateLimited,
}


def from_vllm_error(
    status: int, body: bytes, dialect: envelope.Dialect = "openai", request_id: str | None = None
) -> bytes:
    """vLLM's JSON error in our envelope; its status is `face_of(vllm_error(status, body)).status`."""
    return envelope.body(vllm_error(status, body), dialect, request_id)


def vllm_error(status: int, body: bytes) -> SluiceError:
    """Read one of vLLM's answers, OpenAI- or Anthropic-shaped; what cannot be read keeps only its status.

    Messages of 5xx are never shown: they are texts of exceptions. Those of 4xx lose file paths,
    tracebacks and echoed input, and are cut at MAX_MESSAGE_CHARS.
    """
    raw, param = _read(body)
    if status == 503:
        return Overloaded("The engine is busy; try again later.")
    if status >= 500:
        return Internal("Internal server error.")
    if status == 404 and (missing := _NO_MODEL.search(raw)) is not None:
        return ModelNotFound(
            f"The model '{missing['model']}' does not exist or you do not have access to it.", param="model"
        )
    if param is None and (named := _PARAMETER.search(raw)) is not None:
        param = named[1]
    message = _clean(raw) or "The request is not valid."
    if status == 400 and _TOO_LONG.search(message):
        return ContextTooLong(message, param=param)
    if status == 404:
        return UnknownRoute(message, param=param)
    return _BY_STATUS.get(status, InvalidRequest)(message, param=param)


def vllm_error_event(event: bytes) -> SluiceError:
    """An error in mid-stream, as the SSE event that carries it; its status stands in the body's own `error.code`."""
    data = next((line[6:] for line in event.split(b"\n") if line.startswith(b"data: ")), b"")
    return vllm_error_text(data)


def vllm_error_text(body: bytes) -> SluiceError:
    """An error whose JSON carries its own status."""
    try:
        code = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    return vllm_error(code if isinstance(code, int) and 400 <= code < 600 else 500, body)


def _read(body: bytes) -> tuple[str, str | None]:
    try:
        error = json.loads(body)["error"]
        message, param = error["message"], error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None
    return (
        message[:MAX_READ_CHARS] if isinstance(message, str) else "",
        _param(param) if isinstance(param, str) else None,
    )


def _param(path: str) -> str:
    """`body.messages.0.content` → `messages[0].content`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", path.removeprefix("body."))[:200]


def _clean(message: str) -> str:
    """vLLM renders pydantic's errors as Python dicts, input included: keep what they say, not what was sent."""
    if said := _PYDANTIC.findall(message):
        message = "; ".join(dict.fromkeys(_unquoted(literal) for literal in said))
    message = _SECRETIVE.sub("", _DETAILS.sub("", message)).strip()
    return message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 1] + "…"


def _unquoted(literal: str) -> str:
    return literal[1:-1].replace("\\'", "'").replace('\\"', '"')

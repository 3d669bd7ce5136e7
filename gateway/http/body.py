"""A request's body: read under a limit and a deadline, then parsed as one JSON object."""

import asyncio
from typing import Any

import msgspec

from gateway.errors import BodyTooLarge, InvalidRequest, MalformedJson, RequestTimeout, UnsupportedMediaType
from gateway.http.asgi import Headers, Receive, header


class ClientGone(Exception):
    """The client closed its connection."""


async def read_json(headers: Headers, receive: Receive, limit: int, timeout_s: float) -> dict[str, Any]:
    """Raises an HttpError that says what is wrong with the body, or ClientGone."""
    media = (header(headers, b"content-type") or b"").split(b";")[0].strip().lower()
    if media != b"application/json":
        raise UnsupportedMediaType("The body must be sent as 'Content-Type: application/json'.")
    if (header(headers, b"content-encoding") or b"identity").lower() != b"identity":
        raise UnsupportedMediaType("The body must be sent without a Content-Encoding.")
    announced = header(headers, b"content-length") or b"0"
    if not announced.isdigit():
        raise InvalidRequest("Content-Length is not a number.")
    if int(announced) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(timeout_s):
            raw = await _read(receive, limit)
    except TimeoutError as exc:
        raise RequestTimeout(f"The body did not arrive within {timeout_s:.0f} seconds.") from exc
    try:
        parsed = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise MalformedJson(f"The body is not JSON: {exc}") from exc
    if not isinstance(parsed, dict):
        raise MalformedJson("The body must be a JSON object.")
    return parsed


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body exceeds {limit} bytes.")

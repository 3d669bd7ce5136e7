"""Reading a body: limits by announcement and by count, a deadline, and one JSON object."""

import asyncio
from typing import Any

import pytest

from gateway.errors import BodyTooLarge, MalformedJson, RequestTimeout, UnsupportedMediaType
from gateway.http.body import ClientGone, read_json

JSON = [(b"content-type", b"application/json; charset=utf-8")]


def sending(*parts: bytes, gone: bool = False) -> Any:
    messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if gone:
        messages.append({"type": "http.disconnect"})
    elif messages:
        messages[-1]["more_body"] = False

    async def receive() -> Any:
        if not messages:
            await asyncio.get_running_loop().create_future()
        return messages.pop(0)

    return receive


async def read(headers: Any, receive: Any, limit: int = 100) -> Any:
    return await read_json(headers, receive, limit, timeout_s=0.05)


async def test_a_body_in_parts_is_joined() -> None:
    assert await read(JSON, sending(b'{"a"', b": ", b"1}")) == {"a": 1}


async def test_an_announced_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(BodyTooLarge):
        await read([*JSON, (b"content-length", b"101")], sending())


async def test_an_unannounced_body_is_cut_off_at_the_limit() -> None:
    with pytest.raises(BodyTooLarge):
        await read(JSON, sending(b"x" * 60, b"x" * 60))


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
async def test_what_is_not_an_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        await read(JSON, sending(body), limit=200_000)


@pytest.mark.parametrize("headers", [[], [(b"content-type", b"text/plain")], [*JSON, (b"content-encoding", b"gzip")]])
async def test_other_media_are_refused(headers: Any) -> None:
    with pytest.raises(UnsupportedMediaType):
        await read(headers, sending(b"{}"))


async def test_a_body_that_never_ends_times_out() -> None:
    with pytest.raises(RequestTimeout):
        await read(JSON, sending())


async def test_a_client_that_leaves_while_sending_is_gone() -> None:
    with pytest.raises(ClientGone):
        await read(JSON, sending(b"{", gone=True))

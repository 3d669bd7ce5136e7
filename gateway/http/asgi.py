"""The ASGI shapes that the HTTP layer is written in."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header; ASGI servers give names in lower case."""
    for key, value in headers:
        if key == name:
            return value
    return None


def without_address(app: App) -> App:
    """The same app behind a proxy that does not tell from whom a request comes, as Ray's HAProxy does not."""

    async def unaddressed(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "client": None}, receive, send)

    return unaddressed

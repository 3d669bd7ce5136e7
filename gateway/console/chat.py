"""The playground's requests: through the same door as any client's, in the same process, with the operator's own key."""

from collections.abc import Callable
from typing import Final

from gateway.http.asgi import App, Message, Receive, Scope, Send, header

PATH: Final = "/v1/chat/completions"
PASSED: Final = frozenset(
    {b"authorization", b"x-api-key", b"content-type", b"content-length", b"transfer-encoding", b"x-sluice-priority"}
)


async def chat(door: App, scope: Scope, receive: Receive, send: Send, want: Callable[[str], None]) -> None:
    """`want` gets the request's id before its answer begins, so that its record is kept."""
    headers = [(name, value) for name, value in scope["headers"] if name in PASSED]

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            request_id = header(message["headers"], b"x-request-id")
            if request_id is not None:
                want(request_id.decode("latin-1"))
        await send(message)

    await door({**scope, "path": PATH, "raw_path": PATH.encode(), "headers": headers}, receive, tell)

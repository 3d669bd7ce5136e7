"""What is taken off a request that comes in through Ray's HAProxy, before Serve looks at it."""

from typing import Any

from starlette.middleware import Middleware

from gateway.http.asgi import App, Receive, Scope, Send

# With these a client could switch off Serve's disconnect watch or time-outs, or pose as a multiplexed model.
STRIPPED = frozenset({b"x-request-disconnect-disabled", b"x-request-timeout-seconds", b"serve_multiplexed_model_id"})


class StripHeaders:
    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in STRIPPED]}
        await self._app(scope, receive, send)


def middlewares() -> list[Any]:
    """Serve imports and calls this in every replica it opens an HTTP port for."""
    return [Middleware(StripHeaders)]

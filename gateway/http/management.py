"""The operators' port: /livez, /readyz, /metrics and /status. On loopback it asks for no key, elsewhere for scope `metrics`.
/console has its own rules (gateway/console/app.py).
"""

import ipaddress
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.errors import PermissionDenied, SluiceError, UnknownRoute
from gateway.http.asgi import Headers, Receive, Scope, Send, header
from gateway.http.door import Caller
from gateway.http.health import Health
from gateway.http.reply import Reply


@dataclass
class ManagementApp:
    health: Health
    status: Callable[[], dict[str, Any]]
    metrics: Callable[[str], tuple[bytes, str]]
    authenticate: Callable[[Headers], Caller]
    host: str
    console: Callable[[Scope, Receive, Send, Reply], Awaitable[None]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = Reply(send, "")
        try:
            await self._answer(scope, receive, send, reply)
        except SluiceError as err:
            await reply.error(err)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, reply: Reply) -> None:
        path = scope["path"]
        if path in ("/livez", "/readyz"):
            status, body = self.health.answer(path)
            return await reply.json(status, body)
        if self.console is not None and f"{path}/".startswith("/console/"):
            return await self.console(scope, receive, send, reply)
        if not _is_loopback(self.host) and "metrics" not in self.authenticate(scope["headers"]).scopes:
            raise PermissionDenied("This key lacks the scope 'metrics'.")
        if path == "/metrics":
            body, content_type = self.metrics((header(scope["headers"], b"accept") or b"").decode("latin-1"))
            return await reply.json(200, body, [(b"content-type", content_type.encode())])
        if path == "/status":
            return await reply.json(200, json.dumps(self.status()).encode())
        raise UnknownRoute("Management serves /livez, /readyz, /metrics, /status and /console.")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

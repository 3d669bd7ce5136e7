"""The operators' port: /livez, /readyz, /metrics, /targets, /status and /guard. On loopback it asks for no key, elsewhere for the
scope `metrics`, and `admin` to change anything. /console has its own rules (gateway/console/app.py).
"""

import asyncio
import contextlib
import json
import urllib.parse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.config.listen import is_loopback
from gateway.errors import PermissionDenied, SluiceError, UnknownRoute
from gateway.http.asgi import Headers, Receive, Scope, Send, header
from gateway.http.decisions import CONSOLE, MANAGEMENT, Visitor
from gateway.http.door import Caller
from gateway.http.guard_api import GuardApi
from gateway.http.health import Health
from gateway.http.metering import NOBODY
from gateway.http.reply import Reply
from gateway.limits.policy import Subject


@dataclass
class ManagementApp:
    """`own`: the URL that is this gateway's for all of its life, though it may answer at one that it has taken over, too;
    `gateways`: those of all that are to stay, empty where nobody knows them.
    """

    health: Health
    status: Callable[[], dict[str, Any]]
    metrics: Callable[[str], tuple[bytes, str]]
    authenticate: Callable[[Headers], Caller]
    host: str
    guard: GuardApi
    on_error: Callable[[SluiceError, str, Visitor], None] = lambda _error, _where, _visitor: None
    console: Callable[[Scope, Receive, Send, Reply], Awaitable[None]] | None = None
    own: Callable[[], str] = str
    gateways: Callable[[], list[str]] = list

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = Reply(send, "")
        try:
            await self._answer(scope, receive, send, reply)
        except SluiceError as err:
            self.on_error(err, CONSOLE if _is_console(scope["path"]) else MANAGEMENT, self._visitor(scope, err))
            await reply.error(err)

    def _visitor(self, scope: Scope, err: SluiceError) -> Visitor:
        """Whoever lacks a scope has been known by its key."""
        subject, peer = NOBODY, scope.get("client")
        if isinstance(err, PermissionDenied):
            with contextlib.suppress(SluiceError):
                caller = self.authenticate(scope["headers"])
                subject = Subject(caller.key_id, caller.tenant)
        return Visitor(subject, None if peer is None else peer[0])

    async def _answer(self, scope: Scope, receive: Receive, send: Send, reply: Reply) -> None:
        path = scope["path"]
        if path in ("/livez", "/readyz"):
            status, body = self.health.answer(path)
            return await reply.json(status, body)
        if self.console is not None and _is_console(path):
            return await self.console(scope, receive, send, reply)
        if is_loopback(self.host) and not is_loopback(_host_name(scope["headers"])):
            raise PermissionDenied("This port answers to localhost and to loopback addresses alone.")
        wanted = "metrics" if scope["method"] in ("GET", "HEAD") else "admin"
        if wanted == "admin" and _from_another_site(scope["headers"]):
            raise PermissionDenied("A page of another site may change nothing here.")
        if not is_loopback(self.host) and wanted not in self.authenticate(scope["headers"]).scopes:
            raise PermissionDenied(f"This key lacks the scope '{wanted}'.")
        if path == "/metrics":
            return await self._metrics(scope, reply)
        if path == "/targets":
            known = await asyncio.to_thread(self.gateways)
            return await reply.json(200, _targets(known if self.own() in known else [*known, self.own()]))
        if path == "/status":
            return await reply.json(200, json.dumps(self.status()).encode())
        if path == "/guard" or path.startswith("/guard/"):
            found = await self.guard.answer(scope["method"], scope["raw_path"].decode("latin-1"))
            return await reply.json(200, json.dumps(found).encode())
        raise UnknownRoute("Management serves /livez, /readyz, /metrics, /targets, /status, /guard and /console.")

    async def _metrics(self, scope: Scope, reply: Reply) -> None:
        """Who names a gateway gets its figures or none: those of another one's life would jump into its counters."""
        asked = urllib.parse.parse_qs(scope["query_string"].decode("latin-1")).get("gateway")
        if asked is not None and asked != [_address(self.own())]:
            raise UnknownRoute("Another gateway answers here.")
        body, content_type = self.metrics((header(scope["headers"], b"accept") or b"").decode("latin-1"))
        await reply.json(200, body, [(b"content-type", content_type.encode())])


def _targets(urls: list[str]) -> bytes:
    """As Prometheus' `http_sd_configs` wants them."""
    addresses = map(_address, urls)
    return json.dumps([{"targets": [one], "labels": {"__param_gateway": one}} for one in addresses]).encode()


def _address(url: str) -> str:
    return url.partition("://")[2]


def _host_name(headers: Headers) -> str:
    """What the client calls this machine, without the port. To a browser, a page whose own name was made to lead here comes from no
    other site.
    """
    host = (header(headers, b"host") or b"").decode("latin-1")
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() else host).strip("[]")


def _from_another_site(headers: Headers) -> bool:
    """Whether a browser says so. On loopback there is no key that a page of another site would lack."""
    site, origin = header(headers, b"sec-fetch-site"), header(headers, b"origin")
    if site not in (None, b"same-origin", b"none"):
        return True
    return origin is not None and origin.partition(b"://")[2] != header(headers, b"host")


def _is_console(path: str) -> bool:
    return f"{path}/".startswith("/console/")

"""`/console`: a page that anyone may load and that shows nothing by itself, and under `/console/api/` what it shows to a key with
the scope `admin`, on the loopback address too.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs

from gateway.console.assets import SECURITY, Asset, load
from gateway.console.chat import chat
from gateway.errors import MethodNotAllowed, PermissionDenied, UnknownRoute
from gateway.http.asgi import App, Headers, Receive, Scope, Send, header
from gateway.http.door import Caller
from gateway.http.reply import Reply

ROOT: Final = "/console"
JSON: Final[Headers] = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *SECURITY]

Answer = Callable[[dict[str, str]], Awaitable[Any]]


@dataclass
class ConsoleApp:
    """`reads` and `acts` answer GET and POST below `/console/api/`, by name; they get the query's parameters (the first of
    each) and return what becomes JSON. `want`: a request's id whose trace will be asked for.
    """

    authenticate: Callable[[Headers], Caller]
    door: App
    want: Callable[[str], None]
    reads: Mapping[str, Answer]
    acts: Mapping[str, Answer]
    _assets: dict[str, Asset | None] = field(default_factory=dict, init=False)

    async def answer(self, scope: Scope, receive: Receive, send: Send, reply: Reply) -> None:
        """Of a path that begins with ROOT. Raises SluiceError."""
        name = scope["path"].removeprefix(ROOT).removeprefix("/")
        if not name.startswith("api/"):
            await self._asset(scope, name or "index.html", reply)
            return
        if "admin" not in self.authenticate(scope["headers"]).scopes:
            raise PermissionDenied("The console asks for a key with the scope 'admin'.")
        await self._api(scope, name.removeprefix("api/"), receive, send, reply)

    async def _api(self, scope: Scope, name: str, receive: Receive, send: Send, reply: Reply) -> None:
        method = scope["method"]
        if name == "chat" and method == "POST":
            await chat(self.door, scope, receive, send, self.want)
            return
        answers: Mapping[str, Answer] = {"GET": self.reads, "POST": self.acts}.get(method, {})
        if name not in answers:
            if name in self.reads or name in self.acts or name == "chat":
                raise MethodNotAllowed("Another method is meant here.")
            raise UnknownRoute("The console has no such data.")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        found = await answers[name]({key: values[0] for key, values in query.items()})
        await reply.json(200, json.dumps(found, separators=(",", ":")).encode(), JSON)

    async def _asset(self, scope: Scope, name: str, reply: Reply) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed("The console's page is read only.", headers=[("Allow", "GET")])
        if name not in self._assets:
            found = await asyncio.to_thread(load, name)
            if found is None:
                raise UnknownRoute("The console has no such file.")
            self._assets[name] = found
        asset = self._assets[name]
        assert asset is not None
        if header(scope["headers"], b"if-none-match") == asset.etag:
            await reply.start(304, [(key, value) for key, value in asset.headers if not key.startswith(b"content-e")])
            await reply.end()
            return
        await reply.json(200, asset.body, asset.headers)

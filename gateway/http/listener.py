"""The gateway's own port: uvicorn inside a running loop, TLS from files that may be replaced while it runs."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from gateway.config.listen import Listen, door_url
from gateway.http import stall
from gateway.http.asgi import App
from gateway.http.certificates import Certificates
from gateway.http.protocol import BoundedHttp

TRY_AGAIN_S = 0.5
FIRST_S, LOOK_S = 2.0, 0.02
"""How long a listener that stops waits for the first request of a connection; it looks that often."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process that hosts us."""
        yield


def _bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """`shared`: gateway replicas of one node listen on the same port, and the kernel spreads connections over them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Connections inherit it. What is being closed still waits for its client to read, and then only the kernel looks on.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall.STALL_S * 1000))
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def bind_or_any(host: str, port: int) -> socket.socket:
    """The wanted port for the first on this node, any free one for the next."""
    try:
        return _bind(host, port, shared=False)
    except OSError:
        return _bind(host, 0, shared=False)


async def bind_when_free(host: str, port: int) -> socket.socket:
    """Waits for another process to leave the port."""
    while True:
        with contextlib.suppress(OSError):
            return _bind(host, port, shared=False)
        await asyncio.sleep(TRY_AGAIN_S)


class Listener:
    """Started once. Whoever stops it has drained its app: what still runs then is cut off."""

    def __init__(self, app: App, listen: Listen, keep_alive_s: int, sock: socket.socket | None = None) -> None:
        self._socket = sock or _bind(listen.host, listen.port, shared=True)
        self._tls = listen.tls
        self._certificates = None if listen.tls is None else Certificates(listen.tls)
        tls: dict[str, Any] = {}
        if listen.tls is not None and self._certificates is not None:
            first = self._certificates.context
            tls = {"ssl_certfile": str(listen.tls.certificate), "ssl_context_factory": lambda *_: first}
        self._config = uvicorn.Config(
            app,
            http=BoundedHttp,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=1,
            **tls,
        )
        self._server = _Server(self._config)
        self._tasks: list[asyncio.Task[None]] = []
        self._taken: list[asyncio.Future[Any]] = []

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        host = self._socket.getsockname()[0]
        return self._at(host)

    def url_at(self, node_ip: str) -> str:
        """`url`, with the node's address in place of one that means all interfaces."""
        host = self._socket.getsockname()[0]
        return self._at(node_ip if host in ("0.0.0.0", "::") else host)  # noqa: S104  compared, not bound

    def _at(self, host: str) -> str:
        return door_url(host, self.port, tls=self._tls is not None)

    async def start(self) -> None:
        self._tasks.append(asyncio.create_task(self._server.serve(sockets=[self._socket])))
        while not self._server.started:
            await asyncio.sleep(0.01)
            if self._tasks[0].done():
                self._tasks[0].result()
                raise RuntimeError("the HTTP server ended at start")
        if self._certificates is not None:
            self._tasks.append(asyncio.create_task(self._certificates.rotate()))

    async def stop_accepting(self, limit_s: float = FIRST_S) -> None:
        """New connections go to the other gateways that share the port; open ones stay. So do those that the kernel has taken for
        this one: it would reset them. Returns once all have asked for something, after FIRST_S or `limit_s` in any case.
        """
        self._take_in()
        for server in getattr(self._server, "servers", ()):
            server.close()
        clock = asyncio.get_running_loop().time
        until = clock() + min(FIRST_S, limit_s)
        while clock() < until:
            if self._all_have_asked():
                return
            await asyncio.sleep(LOOK_S)

    def _take_in(self) -> None:
        loop, server, config = asyncio.get_running_loop(), self._server, self._config

        def protocol() -> BoundedHttp:
            return BoundedHttp(config=config, server_state=server.server_state, app_state={}, _loop=loop)

        with contextlib.suppress(OSError):  # there is none left
            for _ in range(config.backlog):
                connection, _ = self._socket.accept()
                connection.setblocking(False)
                taken = loop.connect_accepted_socket(protocol, connection, ssl=config.ssl)
                self._taken.append(asyncio.ensure_future(taken))

    def _all_have_asked(self) -> bool:
        """A connection is not among the server's before its TLS handshake is over."""
        open_ones = self._server.server_state.connections
        return all(one.done() for one in self._taken) and all(
            one.has_asked for one in open_ones if isinstance(one, BoundedHttp)
        )

    async def stop(self) -> None:
        self._server.should_exit = True
        for task in (*self._tasks[1:], *self._taken):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._taken, return_exceptions=True)
        self._socket.close()

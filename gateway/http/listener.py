"""The gateway's own port: uvicorn inside a running loop, TLS from files that may be replaced while it runs."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import structlog
import uvicorn

from gateway.config import Listen, Tls
from gateway.http.asgi import App
from gateway.http.protocol import BoundedHttp

log = structlog.get_logger(__name__)


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


class Listener:
    """Started once; `stop` lets running responses end for at most `drain_s`."""

    def __init__(
        self, app: App, listen: Listen, keep_alive_s: int, drain_s: float, sock: socket.socket | None = None
    ) -> None:
        self._socket = sock or _bind(listen.host, listen.port, shared=True)
        self._tls = listen.tls
        tls: dict[str, Any] = {}
        if listen.tls is not None:
            tls = {
                "ssl_certfile": str(listen.tls.certificate),
                "ssl_keyfile": str(listen.tls.key),
                "ssl_ca_certs": str(listen.tls.client_ca) if listen.tls.client_ca else None,
                "ssl_cert_reqs": ssl.CERT_REQUIRED if listen.tls.client_ca else ssl.CERT_NONE,
            }
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
            timeout_graceful_shutdown=max(1, int(drain_s)),
            **tls,
        )
        self._server = _Server(self._config)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def url(self) -> str:
        host = self._socket.getsockname()[0]
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def start(self) -> None:
        self._tasks.append(asyncio.create_task(self._server.serve(sockets=[self._socket])))
        while not self._server.started:
            await asyncio.sleep(0.01)
            if self._tasks[0].done():
                self._tasks[0].result()
                raise RuntimeError("the HTTP server ended at start")
        if self._tls is not None:
            self._tasks.append(asyncio.create_task(self._rotate(self._tls)))

    async def stop(self) -> None:
        self._server.should_exit = True
        for task in self._tasks[1:]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._socket.close()

    async def _rotate(self, tls: Tls) -> None:
        """New handshakes use new files; a pair that does not load (half-written, mismatched) leaves the old one in use."""
        seen = _stamp(tls)
        while True:
            await asyncio.sleep(tls.reload_s)
            try:
                now = _stamp(tls)
                if now == seen or self._config.ssl is None:
                    continue
                ssl.create_default_context().load_cert_chain(tls.certificate, tls.key)
                self._config.ssl.load_cert_chain(tls.certificate, tls.key)
                if tls.client_ca is not None:
                    self._config.ssl.load_verify_locations(tls.client_ca)
            except OSError as exc:
                log.warning("certificate_not_loaded", certificate=str(tls.certificate), error=str(exc))
                continue
            seen = now
            log.info("certificate_loaded", certificate=str(tls.certificate))


def _stamp(tls: Tls) -> tuple[tuple[int, int], ...]:
    files = [file for file in (tls.certificate, tls.key, tls.client_ca) if file is not None]
    return tuple((stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files))

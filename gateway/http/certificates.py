"""TLS from files that may be replaced while connections are open."""

import asyncio
import ssl

import structlog

from gateway.config.listen import Tls

log = structlog.get_logger(__name__)


def server_context(tls: Tls) -> ssl.SSLContext:
    """Raises OSError if the files do not exist, do not parse or do not belong together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tls.client_ca)
    return context


class Certificates:
    """`context` serves for the listener's life; each handshake is handed on to the context of the newest files.

    Adding to one context would keep trusting a client CA that has been taken away.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = _stamp(tls)
        self.context = self._newest = server_context(tls)
        self.context.sni_callback = self._hand_on

    def _hand_on(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        handshake.context = self._newest

    async def rotate(self) -> None:
        """A pair that does not load (half-written, mismatched) leaves the old one in use."""
        while True:
            await asyncio.sleep(self._tls.reload_s)
            try:
                now = _stamp(self._tls)
                if now == self._seen:
                    continue
                self._newest = server_context(self._tls)
            except OSError as exc:
                log.warning("certificate_not_loaded", certificate=str(self._tls.certificate), error=str(exc))
                continue
            self._seen = now
            log.info("certificate_loaded", certificate=str(self._tls.certificate))


def _stamp(tls: Tls) -> tuple[tuple[int, int], ...]:
    files = [file for file in (tls.certificate, tls.key, tls.client_ca) if file is not None]
    return tuple((stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files))

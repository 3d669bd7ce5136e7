"""TLS from files that may be replaced while connections are open."""

import asyncio
import ssl
from typing import Any

import structlog

from gateway.config.listen import Tls

log = structlog.get_logger(__name__)


def server_context(tls: Tls) -> ssl.SSLContext:
    """Raises OSError if the files do not exist, do not parse or do not belong together, or if the key is encrypted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key, _no_passphrase)
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(tls.client_ca)
        context.num_tickets = 0  # what is resumed is not verified, and TLS 1.3 would renew it for ever
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask at the terminal, and replicas have none."""
    raise OSError("the key is encrypted, and nobody can be asked for its passphrase")


class _Latest(ssl.SSLContext):
    """Begins each handshake with the context of the newest files, which resumes none but its own sessions."""

    latest: ssl.SSLContext

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return self.latest.wrap_bio(*args, **options)


class Certificates:
    """`context` serves for the listener's life, whatever the files become.

    Adding to one context would keep trusting a client CA that has been taken away.
    """

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._seen = _stamp(tls)
        self.context = _Latest(ssl.PROTOCOL_TLS_SERVER)
        self.context.latest = server_context(tls)

    async def rotate(self) -> None:
        """A pair that does not load (half-written, mismatched) leaves the old one in use."""
        while True:
            await asyncio.sleep(self._tls.reload_s)
            try:
                now = _stamp(self._tls)
                if now == self._seen:
                    continue
                self.context.latest = server_context(self._tls)
            except OSError as exc:
                log.warning("certificate_not_loaded", certificate=str(self._tls.certificate), error=str(exc))
                continue
            self._seen = now
            log.info("certificate_loaded", certificate=str(self._tls.certificate))


def _stamp(tls: Tls) -> tuple[tuple[int, int], ...]:
    files = [file for file in (tls.certificate, tls.key, tls.client_ca) if file is not None]
    return tuple((stat.st_mtime_ns, stat.st_ino) for stat in (file.stat() for file in files))

"""CURVE keys and the ZAP allow-list. CURVE alone lets in whoever knows the server's public key; the list does not."""

from dataclasses import dataclass, field
from typing import Any

import zmq
import zmq.asyncio
from zmq.auth.asyncio import AsyncioAuthenticator

DOMAIN = "sluice"


@dataclass(frozen=True)
class KeyPair:
    """A Z85 key pair of one process's lifetime. The secret never leaves the process and is not in its repr."""

    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> "KeyPair":
        return cls(*zmq.curve_keypair())


class Peer:
    """One process's identity on the token channel: its ZeroMQ context and key pair."""

    def __init__(self) -> None:
        self.context = zmq.asyncio.Context()
        self.keys = KeyPair.generate()

    def close(self) -> None:
        self.context.destroy(linger=0)


class AllowList:
    """The client public keys that may connect to this context's CURVE servers; may change at any time."""

    def __init__(self, context: zmq.asyncio.Context) -> None:
        self._allowed: frozenset[bytes] = frozenset()
        self._authenticator = AsyncioAuthenticator(context)

    def start(self) -> None:
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain=DOMAIN, credentials_provider=self)

    def stop(self) -> None:
        self._authenticator.stop()

    def replace(self, public_keys: frozenset[bytes]) -> None:
        self._allowed = public_keys

    def callback(self, _domain: str, key: bytes) -> bool:
        """ZAP's question; `key` is Z85."""
        return key in self._allowed


def secure_server(socket: zmq.Socket[Any], keys: KeyPair) -> None:
    socket.curve_secretkey = keys.secret
    socket.curve_publickey = keys.public
    socket.curve_server = True
    # With a domain set and enforced, a server whose ZAP handler is gone lets nobody in.
    socket.zap_domain = DOMAIN.encode()
    socket.zap_enforce_domain = 1


def secure_client(socket: zmq.Socket[Any], keys: KeyPair, server_key: bytes) -> None:
    socket.curve_secretkey = keys.secret
    socket.curve_publickey = keys.public
    socket.curve_serverkey = server_key

"""Where a gateway listens, and what it lets in."""

import ipaddress
from typing import Literal

from pydantic import Field

from gateway.config.types import Bytes, Port, Strict, UserPath


class Tls(Strict):
    """The gateway's own certificate; `client_ca` turns on mutual TLS. Files are re-read when they change."""

    certificate: UserPath
    key: UserPath
    client_ca: UserPath | None = None
    reload_s: float = Field(default=5.0, gt=0)


class Listen(Strict):
    """The gateway replicas' own port. Replicas on one node share it through SO_REUSEPORT."""

    host: str = "127.0.0.1"
    port: Port = 8080
    tls: Tls | None = None


class Management(Strict):
    """Health, metrics and status; the second replica on a node takes any free port."""

    host: str = "127.0.0.1"
    port: Port = 9464
    console: bool = Field(default=True, description="the operators' page at /console, for keys with the scope 'admin'")


class HAProxy(Strict):
    """Ray Serve's HAProxy as a second door, for gateways on several nodes (docs/decisions/0002)."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = 8000
    stats_port: Port = 8404
    metrics_port: Port = 9101
    hard_stop_after_s: int = Field(default=900, ge=120)


class Surface(Strict):
    """What a request may ask for; see gateway/http/surface.py for the allow-lists themselves."""

    unknown_fields: Literal["reject", "drop"] = "reject"
    max_n: int = Field(default=8, ge=1, le=128)
    max_body: Bytes = 4 * 2**20
    max_items: int = Field(default=8192, ge=1, description="messages, parts of them and other items of lists, together")


def is_loopback(host: str) -> bool:
    """Whether who listens there can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def door_url(host: str, port: int, *, tls: bool = False) -> str:
    """Of a door; an IPv6 address stands in brackets."""
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

"""Whose address a request came from, as far as it can be trusted."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The peer itself; or, if that is a trusted proxy, the last address in X-Forwarded-For that is not one.

    `forwarded_for` is the header's values in order. A proxy adds the address it saw at the end, so everything before the
    last untrusted one may be invented. Where all are trusted, or one tells no address, the client is the outermost that is
    known: a host among the proxies, or a proxy for all whom it does not tell apart. None if the peer is no address (a Unix
    socket). An IPv6 client is its /64: it can choose the rest.
    """
    address = _parsed(peer)
    hops = [part.strip() for value in forwarded_for for part in value.split(",") if part.strip()]
    while address is not None and hops and any(address in net for net in trusted if net.version == address.version):
        further = _parsed(hops.pop())
        if further is None:
            break
        address = further
    if address is None:
        return None
    return str(address) if isinstance(address, IPv4Address) else str(IPv6Network((address, 64), strict=False))


@lru_cache(maxsize=4096)
def _parsed(text: str | None) -> IPv4Address | IPv6Address | None:
    """Also with a port, and in brackets, as proxies write it."""
    if text is None:
        return None
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address

"""Limits by client address: before anybody is known, and not to be escaped by a header."""

from pathlib import Path

import httpx
import pytest

from gateway.audit.verify import verify
from tests.gateway.pool.limited_fronts import limited

MODELS = "/v1/models"


def claiming(*addresses: str) -> dict[str, str]:
    return {"x-forwarded-for": ", ".join(addresses)}


async def test_an_address_is_counted_whoever_it_claims_to_be(tmp_path: Path) -> None:
    wide = {"wide": {"requests": {"key": ["600/minute"]}}}
    async with limited(tmp_path, address=["5/day"], tiers=wide) as front:
        known, unknown = front.of("wide"), front.client("sk-sluice-aaaaaaaa-" + "x" * 43)
        front.clients.append(unknown)
        tries = [
            (unknown, claiming("203.0.113.1")),
            (known, claiming("203.0.113.2", "127.0.0.1")),
            (unknown, {"forwarded": "for=203.0.113.3", "x-real-ip": "203.0.113.3"}),
            (known, claiming("203.0.113.4")),
            (unknown, {}),
        ]
        elsewhere = [(await unknown.get(path)).status_code for path in ("/v1/nothing", "/v1/messages")]
        replies = [await client.get(MODELS, headers=headers) for client, headers in tries]
        assert (elsewhere, [reply.status_code for reply in replies]) == ([404, 405], [401, 200, 401, 429, 429])
        assert (await unknown.get("/v1/nothing")).status_code == 429
        assert replies[1].headers["x-ratelimit-limit-requests"] == "5"  # of the tightest window, not the last one asked
        assert replies[1].headers["x-ratelimit-remaining-requests"] == "1"
        assert int(replies[-1].headers["retry-after"]) >= 1
        assert replies[-1].headers["x-sluice-reason"] == "request_window"
        limits = (await front.http.get(f"{front.management}/status")).json()["limits"]
        assert limits["by_address"] == "all requests"
    assert verify(*front.config.audit_folders).whole
    lines = "".join(path.read_text() for path in front.config.audit_folders[0].iterdir())
    assert lines.count('"event":"auth.failed"') == 2  # the first, and at the end that it came once more
    assert '"count":1' in lines
    assert lines.count('"event":"request.refused"') == 3
    assert "127.0.0.1" not in lines


async def test_a_trusted_proxy_is_believed_about_the_last_hop_it_saw(tmp_path: Path) -> None:
    async with limited(tmp_path, address=["1/day"], trusted_proxies=["127.0.0.0/8"]) as front:
        client = front.of("standard")

        async def status(*hops: str) -> int:
            return (await client.get(MODELS, headers=claiming(*hops))).status_code

        assert [await status("203.0.113.1"), await status("203.0.113.1")] == [200, 429]
        # What stands before the address that the proxy saw is the client's invention.
        assert [await status("198.51.100.9", "203.0.113.1"), await status("198.51.100.9", "203.0.113.2")] == [429, 200]
        assert await status("203.0.113.2", "127.0.0.5") == 429


@pytest.mark.parametrize("headers", [{}, claiming("203.0.113.1")])
async def test_behind_haproxy_nobody_has_an_address(tmp_path: Path, headers: dict[str, str]) -> None:
    async with limited(tmp_path, address=["1/day"]) as front:
        transport = httpx.ASGITransport(front.app.behind_haproxy)
        async with httpx.AsyncClient(transport=transport, base_url="http://sluice") as client:
            replies = [await client.get(MODELS, headers=headers | dict(front.http.headers)) for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200, 200, 200]

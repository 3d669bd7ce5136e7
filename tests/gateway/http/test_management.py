"""Who is answered at the operators' port where it asks for no key."""

from urllib.parse import quote

import httpx
import pytest

from gateway.errors import Unauthenticated
from gateway.http.asgi import Headers
from gateway.http.door import Caller
from gateway.http.guard_api import GuardApi
from gateway.http.health import Health
from gateway.http.management import ManagementApp


class Desk:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def status(self) -> dict[str, object]:
        return {}

    def explain(self, key: str) -> dict[str, object] | None:
        self.asked.append(key)
        return None

    def release(self, key: str) -> str:
        self.asked.append(key)
        return "observe"


def keyless(_headers: Headers) -> Caller:
    raise Unauthenticated("No key.")


async def answered(listening: str, method: str, url: str) -> int:
    """The status for a page of `url`'s own site."""
    app = ManagementApp(
        Health(list, list), dict, lambda _accept: (b"", "text/plain"), keyless, listening, GuardApi(Desk())
    )
    site = url[: url.index("/", len("http://"))]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
        own = {"origin": site, "sec-fetch-site": "same-origin"}
        return (await http.request(method, url, headers=own)).status_code


@pytest.mark.parametrize(("method", "path"), [("POST", "/guard/k/release"), ("GET", "/guard"), ("GET", "/status")])
@pytest.mark.parametrize(
    ("site", "status"),
    [
        ("localhost:9000", 200),
        ("localhost", 200),
        ("127.0.0.1:9000", 200),
        ("[::1]:9000", 200),
        ("[::1]", 200),
        ("evil.example:9000", 403),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:9000", 403),
        ("203.0.113.7:9000", 403),
    ],
)
async def test_on_loopback_a_name_that_leads_here_is_not_this_machine(
    site: str, status: int, method: str, path: str
) -> None:
    assert await answered("127.0.0.1", method, f"http://{site}{path}") == status


@pytest.mark.parametrize("name", ["abcd2345", "account:acme/eu", "account:a b?c#d%2Fe", "account:release"])
async def test_the_desk_is_asked_for_the_name_that_was_meant(name: str) -> None:
    desk = Desk()
    app = ManagementApp(
        Health(list, list), dict, lambda _accept: (b"", "text/plain"), keyless, "127.0.0.1", GuardApi(desk)
    )
    quoted = quote(name, safe="")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
        assert (await http.get(f"/guard/{quoted}")).status_code == 404
        assert (await http.post(f"/guard/{quoted}/release?now")).json() == {"key": name, "before": "observe"}
    assert desk.asked == [name, name]


def scraped(own: str, *others: str) -> httpx.AsyncClient:
    """As Prometheus does it, at an address where this gateway answers too, but that may be another one's."""
    app = ManagementApp(
        Health(list, list),
        dict,
        lambda _accept: (b"sluice_up 1", "text/plain"),
        keyless,
        "127.0.0.1",
        GuardApi(Desk()),
        own=lambda: own,
        gateways=lambda: [*others],
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:9464")


async def test_figures_are_told_under_the_name_of_their_own_gateway_alone() -> None:
    """A gateway that has taken over another one's port would add all of its life to the other's counters."""
    async with scraped("http://127.0.0.1:40001", "http://127.0.0.1:40001", "http://[::1]:9464") as http:
        targets = (await http.get("/targets")).json()
        assert [one["targets"] for one in targets] == [["127.0.0.1:40001"], ["[::1]:9464"]]
        mine, others = ({"gateway": one["labels"]["__param_gateway"]} for one in targets)
        assert (await http.get("/metrics", params=mine)).text == "sluice_up 1"
        assert (await http.get("/metrics", params=others)).status_code == 404
        assert (await http.get("/metrics")).status_code == 200, "to people, whoever answers will do"


@pytest.mark.parametrize("others", [[], ["http://127.0.0.1:40002"]])
async def test_a_gateway_tells_of_itself_where_no_list_does(others: list[str]) -> None:
    """Nobody keeps one, or it is on its way out, and its last streams count too."""
    async with scraped("http://127.0.0.1:40001", *others) as http:
        told = [one["targets"][0] for one in (await http.get("/targets")).json()]
    assert told == [*(url.removeprefix("http://") for url in others), "127.0.0.1:40001"]


async def test_elsewhere_any_name_will_do_and_a_key_is_asked_for() -> None:
    assert await answered("0.0.0.0", "GET", "http://gateway.example:9464/guard") == 401
    assert await answered("0.0.0.0", "GET", "http://gateway.example:9464/targets") == 401

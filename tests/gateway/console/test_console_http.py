"""The console over HTTP: who may see what, how files are served, and what its playground's requests are."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from gateway.auth.store import KeyStore
from gateway.console.assets import plotly_name
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")
CHAT = {"model": SPEC.name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    running = Front(tmp_path_factory.mktemp("console"), automatic=True)
    await running.open()
    yield running
    await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def admin(front: Front) -> AsyncIterator[httpx.AsyncClient]:
    _, key = KeyStore(front.config.keys_file).create(
        name="c", tenant="ops", now=0, scopes=("admin", "inference", "models")
    )
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        base_url=f"{front.management}/console/", headers=headers, timeout=30, trust_env=False
    ) as client:
        await _known(client)
        yield client


async def _known(client: httpx.AsyncClient) -> None:
    for _ in range(100):
        if (await client.get("api/snapshot")).status_code == 200:
            return
    raise AssertionError("the key is not known")


@pytest.mark.parametrize("path", ["api/snapshot", "api/trace?id=x", "api/audit"])
async def test_data_is_for_admins_even_on_the_loopback_address(front: Front, path: str) -> None:
    url = f"{front.management}/console/{path}"
    assert (await front.http.get(url, headers={"authorization": ""})).status_code == 401
    reply = await front.http.get(url)
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize("path", ["", "main.js", "style.css", "icon.svg", plotly_name()])
async def test_files_are_compressed_cached_and_bound_by_a_strict_policy(front: Front, path: str) -> None:
    url = f"{front.management}/console/{path}"
    async with httpx.AsyncClient(trust_env=False) as nobody:
        reply = await nobody.get(url, headers={"accept-encoding": "gzip"})
        again = await nobody.get(url, headers={"if-none-match": reply.headers["etag"]})
    assert reply.status_code == 200
    assert reply.headers["content-encoding"] == "gzip"
    assert int(reply.headers["content-length"]) < len(reply.content)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self';" in policy
    assert "unsafe" not in policy
    assert (again.status_code, again.content) == (304, b"")
    assert ("immutable" in reply.headers["cache-control"]) == (path == plotly_name())


async def test_the_page_is_small_but_for_its_charts(front: Front) -> None:
    names = ("", "main.js", "api.js", "dom.js", "format.js", "parts.js", "charts.js", "overview.js", "scaling.js")
    names += ("requests.js", "playground.js", "tenants.js", "drift.js", "audit.js", "waterfall.js", "style.css")
    sizes = [
        int((await front.http.get(f"{front.management}/console/{name}")).headers["content-length"]) for name in names
    ]
    assert sum(sizes) < 25_000, "bytes as they travel"


@pytest.mark.parametrize(
    "path", ["../app.py", "%2e%2e/app.py", "api/", "api/nothing", "nothing.js", "__init__.py", "page"]
)
async def test_what_is_not_listed_does_not_exist(front: Front, admin: httpx.AsyncClient, path: str) -> None:
    assert (await admin.get(httpx.URL(f"{front.management}/console/{path}"))).status_code == 404


async def test_methods_are_kept_apart(admin: httpx.AsyncClient) -> None:
    assert (await admin.post("api/snapshot")).status_code == 405
    assert (await admin.get("api/relearn")).status_code == 405
    assert (await admin.get("api/chat")).status_code == 405
    assert (await admin.post("main.js")).status_code == 405
    assert (await admin.get("api/snapshot?since=-1")).status_code == 400


async def test_a_playground_request_goes_through_the_door(front: Front, admin: httpx.AsyncClient) -> None:
    reply = await admin.post("api/chat", json=CHAT)
    assert (reply.status_code, reply.json()["usage"]["completion_tokens"]) == (200, 3)
    trace = (await admin.get(f"api/trace?id={reply.headers['x-request-id']}")).json()
    assert (trace["tenant"], trace["completion_tokens"], trace["outcome"]) == ("ops", 3, "ok")
    assert trace["tree"]["children"]
    refused = await admin.post("api/chat", json=CHAT | {"not_a_field": 1})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unknown_parameter")
    snapshot = (await admin.get("api/snapshot")).json()
    assert refused.headers["x-request-id"] in {row["id"] for row in snapshot["requests"]}
    assert next(one["tenant"] for one in snapshot["tenants"]) == "ops"


async def test_the_scope_of_the_console_is_not_one_to_generate(front: Front, admin: httpx.AsyncClient) -> None:
    _, key = KeyStore(front.config.keys_file).create(name="a", tenant="ops", now=0, scopes=("admin",))
    async with httpx.AsyncClient(
        base_url=f"{front.management}/console/", headers={"authorization": f"Bearer {key}"}, trust_env=False
    ) as client:
        await _known(client)
        assert (await client.post("api/chat", json=CHAT)).status_code == 403


async def test_drift_is_learned_anew_when_an_admin_says_so(front: Front, admin: httpx.AsyncClient) -> None:
    assert (await admin.post("api/relearn?model=other")).status_code == 404
    await admin.post("api/chat", json=CHAT)
    await soon(lambda: front.app.status()["drift"].get(SPEC.name), 10, "a model that is watched")
    assert (await admin.post(f"api/relearn?model={SPEC.name}")).json() == {"model": SPEC.name}
    assert front.app.status()["drift"][SPEC.name]["reference"]["samples"] == 0


async def test_a_console_that_is_off_does_not_exist(tmp_path_factory: pytest.TempPathFactory) -> None:
    front = Front(tmp_path_factory.mktemp("off"), management={"port": 0, "console": False})
    await front.open()
    try:
        assert (await front.http.get(f"{front.management}/console")).status_code == 404
    finally:
        await front.close()

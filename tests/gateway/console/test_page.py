"""The console in a real browser, before a whole gateway whose engine is scripted: real HTTP, real keys, real requests."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from deployments.autoscaling.record import Record
from gateway.auth.store import KeyStore
from gateway.console_feed import ConsoleFeed
from gateway.guard.verdict import Level, Reason, Verdict
from gateway.limits.readings import BudgetReading
from tests.browser import DESKTOP, PHONE, Console, browser, visit
from tests.gateway.drift.test_watch import Clock, Running
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import Front
from tests.live.harness import free_ports

pytestmark = pytest.mark.asyncio(loop_scope="module")
VIEWS = ("overview", "requests", "playground", "tenants", "drift", "audit")


class Watched(Front):
    """A gateway at one management port for good, with a key for its console and one without the right to it."""

    def __init__(self, folder: Path, port: int) -> None:
        super().__init__(folder, automatic=True, management={"port": port})
        store = KeyStore(self.config.keys_file)
        _, self.admin = store.create(name="c", tenant="ops", now=0, scopes=("admin", "inference"))

    @property
    def client_key(self) -> str:
        return self._key


@contextlib.asynccontextmanager
async def load(front: Front) -> AsyncIterator[None]:
    """Chats one after another, until the end."""

    async def chat() -> None:
        body = {
            "model": SPEC.name,
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 20,
            "stream": True,
        }
        while True:
            await front.http.post("/v1/chat/completions", json=body)
            await asyncio.sleep(0.05)

    running = asyncio.create_task(chat())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    running = Watched(tmp_path_factory.mktemp("console"), free_ports(1)[0])
    await running.open()
    yield running
    await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    async with browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def console(front: Watched, chromium: Browser) -> AsyncIterator[Console]:
    async with visit(chromium, front.management) as page:
        yield page
        assert not page.troubles
        assert not [url for url in page.asked if "sk-sluice" in url], "no key in an address"
        assert {httpx.URL(url).netloc.decode() for url in page.asked} == {httpx.URL(front.management).netloc.decode()}


async def test_it_shows_a_load_that_runs_and_goes_on_by_itself(front: Watched, console: Console) -> None:
    async with load(front):
        await console.log_in(front.admin)
        await expect(console.tile("Requests").locator(".value")).to_have_text(re.compile(r"[1-9]"))
        await expect(console.page.locator("#connection")).to_have_text("live")
        before = await console.page.locator("#about").inner_text()
        chart = console.page.locator('[data-chart="Output tokens per second"]')
        await expect(chart.locator("svg.main-svg").first).to_be_visible()
        drawn = await chart.locator(".scatterlayer path.js-line").first.get_attribute("d")
        await expect(chart.locator(".scatterlayer path.js-line").first).not_to_have_attribute("d", drawn or "")
        assert await console.page.locator("#about").inner_text() != before, "how long it has been up"
        assert await console.value("Output") > 0
    await expect(console.tile("Requests").locator(".value")).to_have_text(re.compile("^0 "))


async def test_the_playground_shows_tokens_and_the_trace_of_its_request(front: Watched, console: Console) -> None:
    await console.log_in(front.admin)
    await expect(console.page.locator("#overview")).to_be_visible()
    await console.open("playground")
    await console.page.get_by_label("Most tokens").fill("12")
    await console.page.get_by_label("Prompt").press("Control+Enter")
    trace = console.page.locator(".trace .waterfall")
    await expect(trace).to_be_visible()
    assert await console.page.locator(".token").count() == 12
    await expect(console.page.locator(".timing")).to_contain_text("12 out")
    names = await trace.locator(".name").all_inner_texts()
    assert names[0].startswith("POST /v1/chat/completions")
    assert {"auth", "validate", "admission", "render", "decode"} <= set(names)
    decode = trace.locator(".span", has=console.page.get_by_text("decode", exact=True)).last
    assert (await decode.locator(".bar").bounding_box() or {})["width"] > 3
    await trace.locator("summary", has_text="route").click()
    await expect(trace.locator("details[open]")).to_contain_text("engine-1")
    await console.open("requests")
    await console.page.locator("#requests button.link").first.click()
    await expect(console.page.locator("#trace .waterfall")).to_be_visible()
    await console.open("tenants")
    await expect(console.page.locator("#tenants")).to_contain_text("ops")
    await console.open("audit")
    await expect(console.page.locator("#audit")).to_contain_text("config.loaded")


async def test_it_shows_what_the_autoscaling_decided_and_why(front: Watched, console: Console) -> None:
    """As the policy writes it down."""
    record = Record(str(front.config.autoscaling_folder), SPEC.name)
    record.changed(1_000_000.0, 1, 3, ["12 s of work wait"])
    seen: Any = SimpleNamespace(ready=1, target=1)
    state = SimpleNamespace(startup_s=33.0)
    decision: Any = SimpleNamespace(
        target=3, needed=2.6, backlog_s=12.0, startup_s=33.0, reasons=("the backlog is too long",), state=state
    )
    record.note(1_000_000.0, seen, decision)
    await console.log_in(front.admin)
    card = console.page.locator('[data-key="autoscaling"] .card')
    await expect(card).to_contain_text("1 ready, 3 asked for")
    await expect(card).to_contain_text("the backlog is too long")
    await expect(card.locator("tbody tr")).to_contain_text("1 → 3")
    await expect(card.locator("tbody tr")).to_contain_text("12 s of work wait")


async def test_it_shows_budgets_and_flagged_keys_with_the_reasons(
    front: Watched, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def used(_feed: ConsoleFeed, _now: float) -> list[dict[str, Any]]:
        return [BudgetReading("acme", "tenant", "day", SPEC.name, 950.0, 1000)._asdict()]

    verdict = Verdict(Level.THROTTLE, Level.OBSERVE, 7.25, (Reason("topic_spread", 3.5, 0.93, 0.21),), 1_000_000.0)
    monkeypatch.setattr(ConsoleFeed, "_budgets_used", used)
    monkeypatch.setattr(front.app._guard._guard, "flagged", lambda: {"abcdefgh": verdict})
    await console.log_in(front.admin)
    await expect(console.page.locator("#overview")).to_be_visible()
    await console.open("tenants")
    budget = console.page.locator("#tenants tbody tr", has_text="acme")
    await expect(budget).to_contain_text(re.compile(r"acme.*day.*950.*1,000.*95", re.DOTALL))
    await expect(budget.locator(".bad")).to_have_count(1)
    flagged = console.page.locator("#tenants tbody tr", has_text="abcdefgh")
    await expect(flagged).to_contain_text(re.compile("throttle.*observe.*7.25.*topic spread 0.93", re.DOTALL))
    await expect(flagged.locator(".chip")).to_have_attribute("title", "3.5 points")


async def test_it_shows_which_signals_drift(
    front: Watched, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by a watch that has seen the language of its prompts change."""
    watch = Running(tmp_path, Clock())
    watch.ask("a", 300)
    watch.ask("b", 400)
    told = watch.status()
    watch.close()
    monkeypatch.setattr(front.app._drift, "status", lambda: told)
    await console.log_in(front.admin)
    await expect(console.page.locator("#overview")).to_be_visible()
    await console.open("drift")
    rows = console.page.locator("#drift tbody tr")
    await expect(rows.filter(has_text="Language (script)").locator(".pill")).to_have_text("drift")
    await expect(rows.filter(has_text="Finish reasons").locator(".pill")).to_have_text("normal")


async def test_it_shows_the_newest_of_the_audit_trail(front: Watched, console: Console) -> None:
    refused = await front.http.get("/v1/models", headers={"authorization": "Bearer sk-sluice-wrong"})
    assert refused.status_code == 401
    await console.log_in(front.admin)
    await expect(console.page.locator("#overview")).to_be_visible()
    await console.open("audit")
    failed = console.page.locator("#audit tbody tr", has_text="auth.failed").first
    await expect(failed).to_be_visible()
    assert "sk-sluice-wrong" not in await console.page.locator("#audit").inner_text()


async def test_a_wrong_key_and_one_without_the_scope_are_refused(front: Watched, chromium: Browser) -> None:
    async with visit(chromium, front.management) as console:
        await console.log_in("sk-sluice-wrong")
        await expect(console.page.get_by_role("alert")).to_have_text("Invalid API key.")
        await console.log_in(front.client_key)
        await expect(console.page.get_by_role("alert")).to_contain_text("scope 'admin'")
        assert await console.page.evaluate("sessionStorage.length") == 0
        for view in VIEWS:
            await expect(console.page.locator(f"#{view}")).to_be_hidden()


async def test_every_view_can_be_reached_by_keyboard_alone(front: Watched, console: Console) -> None:
    await console.log_in(front.admin)
    await expect(console.page.locator("#overview")).to_be_visible()
    await console.page.reload()
    await expect(console.page.locator("#overview")).to_be_visible()
    await console.page.keyboard.press("Tab")
    assert await console.page.evaluate("document.activeElement.className") == "skip"
    for view in VIEWS[1:]:
        for _ in range(12):
            if await console.page.evaluate("document.activeElement.hash") == f"#{view}":
                break
            await console.page.keyboard.press("Tab")
        outline = await console.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        await console.page.keyboard.press("Enter")
        await expect(console.page.locator(f"#{view}")).to_be_visible()
        assert outline == "solid"
        await console.page.locator(f'nav a[href="#{view}"]').focus()


async def test_what_is_focused_stays_so_while_rows_come_go_and_change_places(console: Console) -> None:
    """The rows are the page's own, only their data is not."""
    await console.page.goto(f"{console.url}/console")
    seen = await console.page.evaluate("""async () => {
        const { h, show } = await import("/console/dom.js"), { table } = await import("/console/parts.js");
        const root = h("section"), asked = [];
        document.body.append(root);
        const rows = (...keys) => {
            show(root, table("T", ["Key"], keys.map((key) => ({ key, cells: [h("button", null, `open ${key}`)] })), "None."));
            const order = [...root.querySelectorAll("td")].map((cell) => cell.textContent.slice(5)).join("");
            asked.push([document.activeElement.textContent, order]);
        };
        rows("a", "b", "c");
        root.querySelectorAll("button")[1].focus();
        rows("n", "a", "b", "c");
        rows("m", "n", "b", "c");
        rows("b", "c", "m", "n");
        rows("m", "c", "x", "b");
        rows("b");
        root.remove();
        return asked.slice(1);
    }""")
    assert seen == [["open b", order] for order in ("nabc", "mnbc", "bcmn", "mcxb", "b")]


async def test_the_choice_of_models_is_that_of_the_models_there_are(console: Console) -> None:
    await console.page.goto(f"{console.url}/console")
    seen = await console.page.evaluate("""async () => {
        const { render } = await import("/console/overview.js"), { h } = await import("/console/dom.js");
        const root = h("section"), asked = [];
        document.body.append(root);
        const none = { by_class: {}, refused: {}, running_sequences: 0, sequences_limit: 1,
            waiting: 0, oldest_s: 0, prefill_tokens: 0, prefill_limit: 0 };
        const draw = (...names) => {
            const models = names.map((name) => ({ name, max_model_len: 1, admission: none, engines: [], refused: {} }));
            render(root, { history: null, snapshot: { status: { models, requests_in_flight: 0 } } });
            const select = root.querySelector("select");
            asked.push([select.value, ...[...select.options].map((option) => option.textContent)].join());
        };
        draw("a", "b");
        root.querySelector("select").value = "b";
        root.querySelector("select").dispatchEvent(new Event("change"));
        draw("a", "b", "c");
        draw("a", "c", "d");
        root.remove();
        return asked;
    }""")
    assert seen == [",all,a,b", "b,all,a,b,c", ",all,a,c,d"]


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "dark")])
async def test_it_fits_the_screen_in_light_and_dark(
    front: Watched, chromium: Browser, size: dict[str, int], scheme: str
) -> None:
    async with visit(chromium, front.management, viewport=size, color_scheme=scheme) as console:
        await console.log_in(front.admin)
        await expect(console.page.locator("#overview .card").first).to_be_visible()
        for view in VIEWS:
            await console.open(view)
            assert await console.page.evaluate("document.documentElement.scrollWidth") <= size["width"], view
        dark = await console.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 26)"
        assert dark == (scheme == "dark")
        await console.page.get_by_role("button", name="Light or dark").click()
        changed = await console.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 19, 26)"
        assert changed != dark
        assert not console.troubles


async def test_the_page_outlives_its_gateway(tmp_path: Path, chromium: Browser) -> None:
    port = free_ports(1)[0]
    first = Watched(tmp_path, port)
    await first.open()
    async with visit(chromium, first.management) as console:
        await console.log_in(first.admin)
        await expect(console.page.locator("#connection")).to_have_text("live")
        await first.close()
        await expect(console.page.locator("#connection")).to_have_text("reconnecting…")
        second = Watched(tmp_path, port)
        await second.open()
        try:
            await expect(console.page.locator("#connection")).to_have_text("live")
            await expect(console.page.locator("#notice")).to_contain_text("is gone; this is")
            await expect(console.page.locator("#about")).to_contain_text(second.app.status()["gateway"])
        finally:
            await second.close()

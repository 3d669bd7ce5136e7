"""The console of the running Sluice, in a real browser: the load that is there, updates by themselves, a gateway that is killed."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import expect

from tests.browser import browser, visit
from tests.live.harness import MODEL, Sluice

BACK_MS = 200_000
"""Start of a gateway on a busy machine; an idle one takes a tenth."""


@contextlib.asynccontextmanager
async def load(sluice: Sluice, key: str, streams: int) -> AsyncIterator[None]:
    """So many chats at a time."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 64, "ignore_eos": True}
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=sluice.url, headers=headers, timeout=60, trust_env=False) as client:

        async def chat() -> None:
            while True:
                await client.post("/v1/chat/completions", json=body | {"stream": True})

        running = [asyncio.create_task(chat()) for _ in range(streams)]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture(scope="module")
def admin(sluice: Sluice) -> str:
    return sluice.key("console", "--tenant", "operators", "--scope", "admin", "--scope", "inference")


async def test_a_load_is_shown_while_it_runs(sluice: Sluice, key: str, admin: str) -> None:
    async with browser() as running, visit(running, sluice.management) as console, load(sluice, key, 6):
        await console.log_in(admin)
        await expect(console.tile("Output").locator(".value")).to_have_text(re.compile(r"^[1-9]"))
        await expect(console.tile("First token").locator(".value")).to_have_text(re.compile(r"\d"))
        await expect(console.tile("Between tokens").locator(".value")).to_have_text(re.compile(r"\d"))
        engines = console.page.locator(".models table").first
        await expect(engines).to_contain_text("int8-w8a8")
        before = await console.page.locator("#about").inner_text()
        await expect(console.page.locator("#about")).not_to_have_text(before)
        await console.open("playground")
        await console.page.locator("#playground select").select_option(MODEL)
        await console.page.get_by_role("button", name="Send").click()
        await expect(console.page.locator(".tokens")).to_contain_text("42")
        names = console.page.locator(".trace .waterfall .name")
        await expect(names.filter(has_text="decode")).to_be_visible()
        await expect(names.filter(has_text="prefill")).to_be_visible()
        assert not console.troubles


@pytest.mark.destructive(order=1)
@pytest.mark.timeout(400)
async def test_the_page_goes_on_with_the_next_gateway(sluice: Sluice, admin: str) -> None:
    async with browser() as running, visit(running, sluice.management) as console:
        await console.log_in(admin)
        await expect(console.page.locator("#connection")).to_have_text("live")
        old = str(sluice.status()["gateway"])
        next(p for p in sluice.tree() if ":Gateway" in " ".join(p.cmdline())).kill()
        await expect(console.page.locator("#connection")).to_have_text("reconnecting…")
        await expect(console.page.locator("#notice")).to_contain_text(f"{old[:8]} is gone", timeout=BACK_MS)
        await expect(console.page.locator("#connection")).to_have_text("live", timeout=BACK_MS)
        sluice.tree()
        assert old not in await console.page.locator("#about").inner_text()

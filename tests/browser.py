"""A headless Chromium, and a page of the console in it."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("playwright")

from playwright.async_api import Browser, Page, async_playwright, expect

DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    chromium = shutil.which("chromium")
    assert chromium is not None, "install Debian's package `chromium`"
    async with async_playwright() as playwright:
        # Its sandbox wants namespaces that a container may not have.
        running = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        await running.close()


class Console:
    """One visitor's page. `troubles`: what the browser's own console has complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.troubles: list[str] = []
        self.asked: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda said: self.troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))

    async def log_in(self, key: str) -> None:
        await self.page.goto(f"{self.url}/console")
        await self.page.get_by_label("API key").fill(key)
        await self.page.keyboard.press("Enter")

    async def open(self, view: str) -> None:
        await self.page.goto(f"{self.url}/console#{view}")
        await expect(self.page.locator(f"#{view}")).to_be_visible()

    def tile(self, name: str) -> Any:
        return self.page.locator(f'.tile[data-tile="{name}"]')

    async def value(self, name: str) -> float:
        """Of a tile, in the unit that it shows."""
        text = await self.tile(name).locator(".value").inner_text()
        return float(text.split()[0].replace(",", "").replace("K", "e3"))


@contextlib.asynccontextmanager
async def visit(running: Browser, url: str, **options: Any) -> AsyncIterator[Console]:
    context = await running.new_context(**({"viewport": DESKTOP} | options))
    yield Console(await context.new_page(), url)
    await context.close()

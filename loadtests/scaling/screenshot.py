"""Ray's dashboard as a headless Chromium shows it."""

import shutil
from pathlib import Path

PATH = "/#/serve"
SETTLED_MS = 6000


async def dashboard(url: str, token: str, file: Path) -> None:
    """The page of Serve's deployments, with Ray's token. Raises playwright's errors."""
    from playwright.async_api import async_playwright

    file.parent.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            headers = {"authorization": f"Bearer {token}"}
            context = await browser.new_context(extra_http_headers=headers, viewport={"width": 1400, "height": 900})
            page = await context.new_page()
            await page.goto(f"{url}{PATH}")
            await page.wait_for_timeout(SETTLED_MS)
            await page.screenshot(path=str(file))
        finally:
            await browser.close()

"""`python -m loadtests.scaling.screenshot URL FOLDER` (Ray's token in SLUICE_RAY_TOKEN): Ray's dashboard in a headless Chromium.

Runs whenever a processor core is idle, and never else: what is pictured must not be slower for it.
"""

import argparse
import asyncio
import os
import shutil
import sys
from pathlib import Path

TOKEN = "SLUICE_RAY_TOKEN"  # noqa: S105  a name
FILE, PATH = "ray-serve.png", "/#/serve"
READY, KEYWORD = "Engine-", "Sluice autoscaling"
WIDTH, HEIGHT = 1400, 1300
PATIENCE_MS, SETTLED_MS = 90_000, 4000


async def take(url: str, token: str, file: Path) -> None:
    """Serve's page with its controller's log, of which the lines about autoscaling. Raises playwright's errors."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            headers = {"authorization": f"Bearer {token}"}
            context = await browser.new_context(extra_http_headers=headers, viewport={"width": WIDTH, "height": HEIGHT})
            page = await context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            await page.goto(f"{url}{PATH}")
            try:
                await page.get_by_text(READY).first.wait_for()
                await page.locator(".MuiTextField-root", has_text="Keyword").locator("input").fill(KEYWORD)
                await page.wait_for_timeout(SETTLED_MS)
            finally:
                await page.screenshot(path=str(file))
        finally:
            await browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.scaling.screenshot")
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    given.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(given.url, os.environ[TOKEN], given.folder / FILE))


if __name__ == "__main__":
    main()

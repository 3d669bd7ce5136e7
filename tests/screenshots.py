"""Pictures of the console for the documentation: a gateway over two real engine cores without Ray, under load, in Chromium.

`python -m tests.screenshots` writes docs/images/console-*.png; it takes a minute and a half.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from deployments import environment
from gateway.app import GatewayApp
from gateway.auth.store import KeyStore
from gateway.config import Config
from gateway.config.models import EngineSettings
from gateway.pool import wire
from loadtests.bench.tracing import Sink
from tests.browser import DESKTOP, PHONE, browser, visit
from tests.gateway.pool.engines import FINGERPRINT, SPEC
from tests.live.harness import free_ports
from tests.waiting import soon

ROOT = Path(__file__).resolve().parents[1]
HOST = ROOT / "tests" / "gateway" / "pool" / "engine_host.py"
READY_S, LOAD_S = 180.0, 50.0
PICTURES = (
    ("overview", DESKTOP, "light"),
    ("overview", DESKTOP, "dark"),
    ("overview", PHONE, "light"),
    ("overview", PHONE, "dark"),
    ("playground", DESKTOP, "light"),
    ("playground", PHONE, "dark"),
    ("drift", DESKTOP, "dark"),
    ("tenants", DESKTOP, "light"),
)
QUESTIONS = ("What is 17 + 25?", "Hello! How are you?", "What is the capital of France?", "Count from 1 to 30.")
TENANTS = {"acme": 0.5, "globex": 1.0, "initech": 2.5}
"""Seconds between two requests of each, on average: few enough that an idle machine of two cores keeps nobody waiting."""
# A reference learned within the load, so that there is something to be seen.
DRIFT = {"period_s": None, "learn_s": 0, "evaluate_s": 3, "min_samples": 48, "reference_samples": 48, "confirm": 1}


def config(folder: Path, port: int, receiver: str) -> Config:
    checkpoint = {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}
    return Config.model_validate(
        {
            "state_dir": str(folder),
            "models": [{"name": SPEC.name, "checkpoints": checkpoint}],
            "gateway": {"listen": {"port": 0}, "management": {"port": port}, "drain_s": 2},
            "drift": DRIFT,
            "telemetry": {"traces": {"endpoint": receiver, "protocol": "http", "ratio": 1}},
            "limits": {"tiers": {"standard": {"tokens": [{"scope": "tenant", "limit": 100_000, "per": "hour"}]}}},
        }
    )


@contextlib.asynccontextmanager
async def engines(gateway_key: str) -> AsyncIterator[list[wire.EngineCard]]:
    env = {**os.environ, **environment.engine("cpu", EngineSettings()), "PYTHONPATH": str(ROOT)}
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(HOST),
            name,
            gateway_key,
            "--log-stats",
            cwd=ROOT,
            env=env,
            stdout=pipe,
            stderr=null,
            limit=2**20,
        )
        for name in ("engine-1", "engine-2")
    ]
    try:
        yield [await asyncio.wait_for(_card(one), READY_S) for one in running]
    finally:
        for one in running:
            one.kill()
            await one.wait()


async def _card(process: asyncio.subprocess.Process) -> wire.EngineCard:
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"CARD "):
            card = wire.EngineCard.from_metadata(json.loads(line[5:]))
            return msgspec.structs.replace(card, fingerprint=FINGERPRINT)
    raise RuntimeError("the engine ended")


@contextlib.asynccontextmanager
async def load(url: str, keys: dict[str, str]) -> AsyncIterator[None]:
    """Chats of all tenants, each at its own pace, until the end."""
    rng = random.Random(1)

    async def ask(client: httpx.AsyncClient, key: str) -> None:
        question = {"role": "user", "content": rng.choice(QUESTIONS)}
        body = {"model": SPEC.name, "messages": [question], "max_tokens": rng.randint(16, 160), "stream": True}
        with contextlib.suppress(httpx.HTTPError):
            await client.post("/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})

    async def come(client: httpx.AsyncClient, tenant: str, every_s: float) -> None:
        async with asyncio.TaskGroup() as asked:
            while True:
                asked.create_task(ask(client, keys[tenant]))
                busy = 1 + 0.6 * random.Random(int(time.monotonic() / 7)).uniform(-1, 1)
                await asyncio.sleep(rng.expovariate(busy / every_s))

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits, trust_env=False) as client:
        running = [asyncio.create_task(come(client, tenant, every_s)) for tenant, every_s in TENANTS.items()]
        yield
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def pictures(management: str, key: str, folder: Path) -> None:
    async with browser() as chromium:
        for view, size, scheme in PICTURES:
            async with visit(chromium, management, viewport=size, color_scheme=scheme) as console:
                await console.log_in(key)
                await console.page.locator("#overview .tile").first.wait_for()
                await console.open(view)
                await _settle(console.page, view)
                name = f"console-{view}-{'phone' if size == PHONE else 'desktop'}-{scheme}.png"
                await console.page.screenshot(path=folder / name)
                sys.stdout.write(f"{folder / name} {' '.join(console.troubles)}\n")


async def _settle(page: Any, view: str) -> None:
    if view == "overview":
        await page.locator(".scatterlayer path.js-line").nth(3).wait_for(state="attached")
    elif view == "playground":
        await page.get_by_label("Most tokens").fill("96")
        await page.get_by_label("Prompt").fill("Count from 1 to 30.")
        await page.get_by_role("button", name="Send").click()
        await page.locator(".trace .waterfall").wait_for()
    await page.wait_for_timeout(1000)


async def run(folder: Path, out: Path) -> None:
    sink = Sink()
    settings = config(folder, free_ports(1)[0], sink.url)
    store, now = KeyStore(settings.keys_file), time.time()
    keys = {tenant: store.create(name=tenant, tenant=tenant, now=now)[1] for tenant in TENANTS}
    _, admin = store.create(name="console", tenant="operators", now=now, scopes=("admin", "inference"))
    app = GatewayApp(settings, [SPEC], "127.0.0.1")
    async with engines(app._peer.keys.public.decode()) as cards:

        async def watch(_model: str, on_change: Any) -> None:
            on_change(cards)
            await asyncio.Event().wait()

        await app.open(watch)
        try:
            await soon(
                lambda: SPEC.name in app._backends and app._backends[SPEC.name].pool.available, 60, "an open model"
            )
            async with load(app._listeners[1].url, keys):
                await asyncio.sleep(LOAD_S)
                await pictures(app.card.management, admin, out)
        finally:
            await app.close()
            sink.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures of the console under load.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sluice-pictures-") as folder:
        asyncio.run(run(Path(folder), out))


if __name__ == "__main__":
    main()

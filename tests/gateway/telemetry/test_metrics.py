"""Two models in one gateway, scraped as Prometheus does: what is told of each, and that clients cannot add to it."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

pytest.importorskip("vllm")

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType, FinishReason
from vllm.v1.metrics.stats import PrefixCacheStats, SchedulerStats

from gateway.app import GatewayApp
from gateway.auth.store import KeyStore
from tests.gateway.pool.engines import SPEC, Engine
from tests.gateway.pool.fronts import config
from tests.gateway.pool.scripted import TOKEN, ScriptedCore
from tests.gateway.telemetry.receivers import GrpcReceiver
from tests.waiting import soon

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECOND = replace(SPEC, name="second")
ROOT = Path(__file__).resolve().parents[3]
MODELS = (SPEC.name, SECOND.name)
FOLDERS = [ROOT / "deployments" / name for name in ("prometheus", "grafana")]
SUFFIXES = (".json", ".yml")
SCALED = {"ready": 1, "target": 2, "needed": 1.6, "backlog_s": 3.5, "startup_s": 20, "decisions": {"up": 1, "down": 0}}
FIGURES = """time_to_first_token_seconds inter_token_seconds inference_seconds admission_wait_seconds engine_queue_seconds
    prompt_tokens completion_tokens queue_requests queue_tokens queue_oldest_seconds engine_kv_use_ratio cached_prompt_tokens
    engine_prefix_hit_tokens engine_requests engines failovers engines_lost admission_refused limits_refused guard_level
    guard_actions budget_used_ratio limits_tokens store_up drift_alert autoscaling_target_replicas autoscaling_needed_replicas
    autoscaling_ready_replicas autoscaling_backlog_seconds autoscaling_startup_seconds autoscaling_decisions errors
    traces requests build_info guard_up""".split()
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Pair:
    """One gateway, two models, an engine for each."""

    def __init__(self, folder: Any, endpoint: str) -> None:
        self.config = config(folder, {"traces": {"endpoint": endpoint, "ratio": 0}})
        self.store = KeyStore(self.config.keys_file)
        self.keys = [
            self.store.create(name=f"k{n}", tenant=f"tenant-{n}", tier=f"tier-{n}", now=0)[1] for n in range(3)
        ]
        self.app = GatewayApp(self.config, [SPEC, SECOND], "127.0.0.1")
        self.config.autoscaling_folder.mkdir()
        (self.config.autoscaling_folder / "demo.json").write_text(json.dumps(SCALED | {"model": SPEC.name}))
        self.engines = {name: Engine(f"engine-of-{name}", ScriptedCore(automatic=False)) for name in MODELS}

    async def open(self) -> None:
        async def watch(model: str, on_change: Any) -> None:
            on_change([self.engines[model].card(model=model)])
            await asyncio.Event().wait()

        await self.app.open(watch)
        for engine in self.engines.values():
            engine.outlet.allow([self.app.card.public_key])
        self.http = httpx.AsyncClient(base_url=self.app._listeners[1].url, timeout=30, trust_env=False)
        await soon(lambda: self.app.health.answer("/readyz")[0] == 200, 90, "both models")

    async def close(self) -> None:
        await self.http.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await self.app.close()
        for engine in self.engines.values():
            await engine.stop()

    async def ask(self, model: str, key: int = 0, prompt: str = "Hello", **headers: str) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 20, "stream": True}
        sent = {"authorization": f"Bearer {self.keys[key]}", **headers}
        going = asyncio.create_task(self.http.post("/v1/chat/completions", json=body, headers=sent))
        engine = self.engines.get(model)
        if engine is None:
            return await going
        await soon(lambda: engine.outlet.in_flight == 1 or going.done(), 10, "at the engine")
        if going.done():
            return going.result()
        (owned,) = engine.outlet._owned.values()
        core, now = engine.core, engine.core.clock()
        told = [
            EngineCoreEvent(EngineCoreEventType.QUEUED, now - 0.004),
            EngineCoreEvent(EngineCoreEventType.SCHEDULED, now - 0.003),
        ]
        stats = SchedulerStats(
            num_running_reqs=1, kv_cache_usage=0.25, prefix_cache_stats=PrefixCacheStats(queries=8, hits=4)
        )
        core.say(owned.request_id, events=told, cached=4, stats=stats)
        await asyncio.sleep(0.02)
        core.say(owned.request_id, tokens=[TOKEN] * 2)
        core.say(owned.request_id, tokens=[TOKEN], finish=FinishReason.LENGTH)
        return await going

    async def scrape(self, accept: str = "application/openmetrics-text; version=1.0.0") -> httpx.Response:
        url = f"{self.app.card.management}/metrics"
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(url, headers={"accept": accept})

    async def samples(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], Any]:
        reply = await self.scrape()
        families = text_string_to_metric_families(reply.text)
        return {(s.name, tuple(sorted(s.labels.items()))): s for family in families for s in family.samples}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    receiver = GrpcReceiver()
    running = Pair(tmp_path_factory.mktemp("pair"), receiver.url)
    await running.open()
    yield running
    await running.close()
    receiver.close()


async def test_one_process_tells_of_all_its_models(pair: Pair) -> None:
    for model in MODELS:
        before = await pair.samples()
        assert (await pair.ask(model)).status_code == 200
        after = await pair.samples()

        def grown(name: str, model: str = model, before: Any = before, after: Any = after, **labels: str) -> float:
            key = (name, tuple(sorted({"model": model, **labels}.items())))
            return after[key].value - (before[key].value if key in before else 0)

        of = {"tier": "other"}
        assert grown("sluice_completion_tokens_total", **of) == 4
        assert grown("sluice_cached_prompt_tokens_total", **of) == 4
        assert grown("sluice_prompt_tokens_total", **of) > 4
        assert grown("sluice_time_to_first_token_seconds_count", **of) == 1
        assert grown("sluice_time_per_output_token_seconds_count", **of) == 1
        assert grown("sluice_inference_seconds_count", **of) == 1
        assert grown("sluice_inference_requests_total", outcome="ok", **of) == 1
        assert grown("sluice_inter_token_seconds_count") == 2, "two further steps"
        assert 0.015 < grown("sluice_inter_token_seconds_sum") < 2
        assert grown("sluice_engine_queue_seconds_sum") == pytest.approx(0.001, abs=1e-4)
        assert grown("sluice_engine_prefill_seconds_sum") == pytest.approx(0.003, abs=2e-3)
        others = [name for name, labels in after if ("model", model) in labels and "admission" not in name]
        assert len(others) > 20


async def test_engines_of_both_models_tell_what_their_schedulers_say(pair: Pair) -> None:
    for model in MODELS:
        await pair.ask(model)
    engines = {model: (("engine", f"engine-of-{model}"), ("model", model)) for model in MODELS}
    deadline = asyncio.get_running_loop().time() + 5
    while True:
        samples = await pair.samples()
        hits = [samples["sluice_engine_prefix_hit_tokens_total", engines[model]].value for model in MODELS]
        if all(value >= 4 for value in hits):
            break
        assert asyncio.get_running_loop().time() < deadline, hits
        await asyncio.sleep(0.1)
    for model in MODELS:
        asked = samples["sluice_engine_prefix_tokens_total", engines[model]].value
        assert asked == 2 * samples["sluice_engine_prefix_hit_tokens_total", engines[model]].value
        assert samples["sluice_engines", (("model", model), ("state", "up"))].value == 1


async def test_a_histogram_leads_to_a_trace_that_was_kept(pair: Pair) -> None:
    await pair.ask(MODELS[0], traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    exemplars = {
        sample.name: sample.exemplar.labels["trace_id"]
        for sample in (await pair.samples()).values()
        if sample.exemplar is not None
    }
    for name in ("time_to_first_token_seconds", "time_per_output_token_seconds", "inference_seconds"):
        assert exemplars[f"sluice_{name}_bucket"] == TRACE


async def test_no_client_can_add_a_series(pair: Pair) -> None:
    """Other keys, tenants, tiers that are not configured, prompts, models and paths: nothing of that is a label."""
    for key in range(3):
        await pair.ask(MODELS[0], key)
    await pair.ask("nobody-serves-this")
    await pair.http.get("/no/such/path")
    before = {key for key, _ in (await pair.samples()).items()}
    for number in range(4):
        pair.keys.append(
            pair.store.create(name=f"new-{number}", tenant=f"new-{number}", tier=f"new-{number}", now=0)[1]
        )
    await asyncio.sleep(1.1)  # keys are read once a second at most
    for number in range(4):
        assert (await pair.ask(MODELS[0], key=-1 - number, prompt=f"prompt {number}")).status_code == 200
        await pair.ask(f"model-{number}")
        await pair.http.get(f"/path/{number}", headers={"authorization": f"Bearer {pair.keys[0]}"})
    after = {key for key, _ in (await pair.samples()).items()}
    assert after == before
    text = (await pair.scrape()).text
    for secret in (*pair.keys, "tenant-", "tier-", "new-", "prompt 1", "model-1", "/path", "Hello"):
        assert secret not in text


async def test_every_figure_that_operators_ask_for_has_a_series(pair: Pair) -> None:
    await pair.ask(MODELS[0])
    families = text_string_to_metric_families((await pair.scrape()).text)
    there = {family.name for family in families if family.samples}
    assert {f"sluice_{name}" for name in FIGURES} - there == set()
    levels = [dict(labels) for name, labels in await pair.samples() if name == "sluice_guard_level"]
    assert {"level": "quarantine", "tier": "standard"} in levels


async def test_labels_are_of_closed_sets(pair: Pair) -> None:
    names = {name for _, labels in await pair.samples() for name, _ in labels}
    assert names <= {
        "model", "tier", "route", "status", "outcome", "code", "class", "reason", "engine", "state", "le",
        "version", "vllm", "gateway", "store", "level", "action", "signal", "direction",
    }  # fmt: skip


async def test_old_scrapers_get_the_old_format(pair: Pair) -> None:
    reply = await pair.scrape("text/plain")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert re.search(
        r'^sluice_build_info\{gateway="\w+",version="[\d.]+",vllm="[\w.+]+"\} 1\.0$', reply.text, re.MULTILINE
    )
    assert "_created" not in reply.text


async def test_a_scraper_is_told_where_each_gateway_has_its_own_port(pair: Pair) -> None:
    own = pair.app.card.management
    async with httpx.AsyncClient(base_url=own, trust_env=False) as http:
        (target,) = (await http.get("/targets")).json()
        assert f"http://{target['targets'][0]}" == own
        asked = {name.removeprefix("__param_"): value for name, value in target["labels"].items()}
        assert (await http.get("/metrics", params=asked)).status_code == 200
        run = pair.config.state_dir / "run.json"
        run.write_text(json.dumps({"management": [own, "http://127.0.0.1:1"]}))
        assert [one["targets"] for one in (await http.get("/targets")).json()][1:] == [["127.0.0.1:1"]]
        run.unlink()


async def test_dashboards_and_rules_name_metrics_that_a_gateway_has(pair: Pair) -> None:
    reply = await pair.scrape()
    there = {family.name for family in text_string_to_metric_families(reply.text)}
    texts = [path.read_text() for folder in FOLDERS for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    named = {name for text in texts for name in re.findall(r"(?<!:)\bsluice_[a-z_]+", text)}
    recorded = {name for text in texts for name in re.findall(r"model:(sluice_[a-z_]+)", text)}
    series = {re.sub(r"_(?:total|bucket|sum|count)$", "", name) for name in named}
    assert len(series) > 20
    assert series - there == set()
    rules = (FOLDERS[0] / "rules.yml").read_text()
    assert all(f"record: model:{name}:" in rules for name in recorded)

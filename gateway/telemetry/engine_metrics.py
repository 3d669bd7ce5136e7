"""Engines as one gateway knows them, of all its models in one place; read at scrape time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.errors import EngineLost, EnginePoisoned, NoEngine

BECAME: Final = ("moved", *(error.__name__ for error in (EngineLost, EnginePoisoned, NoEngine)))
"""Of a request that lost its engine: it went on elsewhere, or ended so."""


class EngineReading(NamedTuple):
    """What an engine said of itself a heartbeat ago, over all gateways. Prefix tokens are totals since it started."""

    engine: str
    state: str
    running: int
    waiting: int
    prefill_tokens: int
    kv_use: float
    prefix_queries: int
    prefix_hits: int


class PoolReading(NamedTuple):
    """One model's engines, and what has become of requests since this gateway started."""

    engines: Sequence[EngineReading]
    lost: int
    hedged: int
    failovers: dict[str, int]


class EngineMetrics(Collector):
    """`read` gives a reading for each model. An engine that is gone has no series any more."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], Mapping[str, PoolReading]]) -> None:
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        of = ["model", "engine"]
        requests = GaugeMetricFamily("sluice_engine_requests", "Requests in an engine.", labels=[*of, "state"])
        prefill = GaugeMetricFamily("sluice_engine_prefill_tokens", "Prompt tokens not yet prefilled.", labels=of)
        kv_use = GaugeMetricFamily("sluice_engine_kv_use_ratio", "Share of the KV cache in use.", labels=of)
        asked = CounterMetricFamily("sluice_engine_prefix_tokens", "Prompt tokens looked up in the cache.", labels=of)
        found = CounterMetricFamily("sluice_engine_prefix_hit_tokens", "Of these, found.", labels=of)
        engines = GaugeMetricFamily("sluice_engines", "Engines of a model, by state.", labels=["model", "state"])
        lost = CounterMetricFamily("sluice_engines_lost", "Engines that died or fell silent.", labels=["model"])
        hedged = CounterMetricFamily("sluice_hedges", "Requests given to a second engine too.", labels=["model"])
        failovers = CounterMetricFamily(
            "sluice_failovers", "Requests that lost their engine, by what became of them.", labels=["model", "outcome"]
        )
        for model, pool in self._read().items():
            states = dict.fromkeys(("up", "connecting", "draining"), 0)
            for engine in pool.engines:
                name = [model, engine.engine]
                states[engine.state] += 1
                requests.add_metric([*name, "running"], engine.running)
                requests.add_metric([*name, "waiting"], engine.waiting)
                prefill.add_metric(name, engine.prefill_tokens)
                kv_use.add_metric(name, engine.kv_use)
                asked.add_metric(name, engine.prefix_queries)
                found.add_metric(name, engine.prefix_hits)
            for state, count in states.items():
                engines.add_metric([model, state], count)
            lost.add_metric([model], pool.lost)
            hedged.add_metric([model], pool.hedged)
            for outcome, count in (dict.fromkeys(BECAME, 0) | pool.failovers).items():
                failovers.add_metric([model, outcome], count)
        yield from (requests, prefill, kv_use, asked, found, engines, lost, hedged, failovers)

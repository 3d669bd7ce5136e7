"""A gateway's metrics among Ray's own: every sample of its registry, mirrored by name, so that Ray's agents export it as
`ray_sluice_…`; and some by vLLM's names too, for the panels that Ray draws of served language models.

Ray keeps a series for as long as the process lives. Engines come and go, so each has the number of a place instead of its id here,
and its place goes to another once it is gone. Each gateway gives out places for itself.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

EVERY_S: Final = 10.0
ENGINE: Final = "engine"
AS_VLLM: Final[Mapping[str, str]] = {
    "sluice_prompt_tokens_total": "vllm_prompt_tokens_total",
    "sluice_completion_tokens_total": "vllm_generation_tokens_total",
    "sluice_inference_requests_total": "vllm_request_success_total",
    "sluice_engine_kv_use_ratio": "vllm_kv_cache_usage_perc",
    "sluice_engine_prefix_tokens_total": "vllm_prefix_cache_queries_total",
    "sluice_engine_prefix_hit_tokens_total": "vllm_prefix_cache_hits_total",
    **{
        f"{ours}{part}": f"{theirs}{part}"
        for ours, theirs in {
            "sluice_time_to_first_token_seconds": "vllm_time_to_first_token_seconds",
            "sluice_inter_token_seconds": "vllm_inter_token_latency_seconds",
            "sluice_time_per_output_token_seconds": "vllm_request_time_per_output_token_seconds",
            "sluice_inference_seconds": "vllm_e2e_request_latency_seconds",
            "sluice_engine_queue_seconds": "vllm_request_queue_time_seconds",
            "sluice_engine_prefill_seconds": "vllm_request_prefill_time_seconds",
        }.items()
        for part in ("_bucket", "_sum", "_count")
    },
}


class Gauge(Protocol):
    """Ray's. A counter or a bucket mirrored into one is what it was: PromQL does not ask for types."""

    def set(self, value: float, tags: dict[str, str]) -> None: ...


class Told(NamedTuple):
    name: str
    tags: tuple[tuple[str, str], ...]


class RayMirror:
    """`make` is `ray.util.metrics.Gauge`."""

    def __init__(self, registry: CollectorRegistry, make: Callable[..., Gauge]) -> None:
        self._registry = registry
        self._make = make
        self._gauges: dict[str, Gauge] = {}
        self._shown: set[Told] = set()
        self._places: dict[str, str] = {}

    async def run(self) -> None:
        """For ever. Reading is the event loop's business, telling Ray a thread's."""
        while True:
            samples = self.read()
            await asyncio.to_thread(self.show, samples)
            await asyncio.sleep(EVERY_S)

    def read(self) -> dict[Told, float]:
        samples = [sample for family in self._registry.collect() for sample in family.samples]
        self._seat({sample.labels[ENGINE] for sample in samples if ENGINE in sample.labels})
        found: dict[Told, float] = {}
        for sample in samples:
            labels = {name: self._places[value] if name == ENGINE else value for name, value in sample.labels.items()}
            found[Told(sample.name, tuple(sorted(labels.items())))] = sample.value
            labels = {"model_name" if key == "model" else key: value for key, value in labels.items()}
            for name in _as_vllm(sample):
                found[Told(name, tuple(sorted(labels.items())))] = sample.value
        return found

    def _seat(self, engines: set[str]) -> None:
        """The lowest places that are free for those that have none; a place stays its engine's while it is there."""
        self._places = {engine: place for engine, place in self._places.items() if engine in engines}
        taken = set(self._places.values())
        free = (place for place in map(str, itertools.count()) if place not in taken)
        self._places |= zip(sorted(engines - self._places.keys()), free, strict=False)

    def show(self, samples: Mapping[Told, float]) -> None:
        """What is gone, an engine's figures say, is told once more as 0: Ray would keep the last value."""
        for told in self._shown - samples.keys():
            self._gauge(told).set(0.0, dict(told.tags))
        for told, value in samples.items():
            self._gauge(told).set(value, dict(told.tags))
        self._shown = set(samples)

    def _gauge(self, told: Told) -> Gauge:
        gauge = self._gauges.get(told.name)
        if gauge is None:
            gauge = self._gauges[told.name] = self._make(told.name, tag_keys=_names(told.tags))
        return gauge


def _as_vllm(sample: Sample) -> tuple[str, ...]:
    if sample.name == "sluice_engine_requests":
        return (f"vllm_num_requests_{sample.labels['state']}",)
    if sample.name == "sluice_prompt_tokens_total":
        return AS_VLLM[sample.name], "vllm_request_prompt_tokens_sum"
    known = sample.name in AS_VLLM and sample.labels.get("outcome", "ok") == "ok"
    return (AS_VLLM[sample.name],) if known else ()


def _names(tags: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(name for name, _ in tags)


def mirror(registry: CollectorRegistry) -> "asyncio.Task[Any]":
    """Runs until it is cancelled."""
    from ray.util import metrics

    return asyncio.create_task(RayMirror(registry, metrics.Gauge).run(), name="ray-metrics")

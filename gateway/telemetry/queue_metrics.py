"""Waiting queues as Prometheus sees them: read at scrape time, but for how long each request waited."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import SECONDS


class QueueReading(NamedTuple):
    """One model's queue: (requests, tokens) that wait by class, the oldest one's age in seconds, refusals so far by reason."""

    waiting: Mapping[str, tuple[int, int]]
    oldest_s: float
    refused: Mapping[str, int]


class QueueMetrics(Collector):
    """`read` gives a reading for each model; its names, classes and reasons are the labels."""

    def __init__(self, registry: CollectorRegistry, read: Callable[[], Mapping[str, QueueReading]]) -> None:
        self._read = read
        self._waits = Histogram(
            "sluice_admission_wait_seconds",
            "Time that requests waited until they might start.",
            ["model", "class"],
            buckets=SECONDS,
            registry=registry,
        )
        self._series: dict[tuple[str, str], Histogram] = {}
        registry.register(self)

    def started(self, model: str, priority: str, waited_s: float) -> None:
        series = self._series.get((model, priority))
        if series is None:
            series = self._series[model, priority] = self._waits.labels(model, priority)
        series.observe(waited_s)

    def collect(self) -> Iterator[Metric]:
        requests = GaugeMetricFamily("sluice_queue_requests", "Requests that wait.", labels=["model", "class"])
        tokens = GaugeMetricFamily("sluice_queue_tokens", "Tokens of work that wait.", labels=["model", "class"])
        oldest = GaugeMetricFamily("sluice_queue_oldest_seconds", "Age of who waits longest.", labels=["model"])
        refused = CounterMetricFamily(
            "sluice_admission_refused", "Requests refused, or expired while they waited.", labels=["model", "reason"]
        )
        for model, queue in self._read().items():
            for priority, (number, work) in queue.waiting.items():
                requests.add_metric([model, priority], number)
                tokens.add_metric([model, priority], work)
            oldest.add_metric([model], queue.oldest_s)
            for reason, count in queue.refused.items():
                refused.add_metric([model, reason], count)
        yield from (requests, tokens, oldest, refused)

"""Prometheus metrics in a registry of our own. Labels come from closed sets, never from a client's words."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gateway.telemetry.record import RequestRecord

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
OTHER = "other"


class Metrics:
    """One per gateway process."""

    def __init__(self, routes: frozenset[str]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._routes = routes
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "sluice_requests", "HTTP requests ended, by route and status.", ["route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "sluice_request_seconds",
            "Request duration to its last byte.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._series: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def request_ended(self, record: RequestRecord) -> None:
        route = record.path if record.path in self._routes else OTHER
        series = self._series.get((route, record.status))
        if series is None:
            series = self._requests.labels(route, record.status), self._seconds.labels(route)
            self._series[route, record.status] = series
        ended, seconds = series
        ended.inc()
        seconds.observe(record.seconds)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value read at scrape time."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def counts(self, name: str, text: str, label: str, counts: Mapping[Any, int]) -> None:
        """Counters that somebody else keeps, read at scrape time."""
        self.registry.register(_Counts(name, text, label, counts))

    def build_info(self, **versions: str) -> None:
        """A constant 1, for the versions in its labels."""
        text = "Versions of what serves."
        Gauge("sluice_build_info", text, list(versions), registry=self.registry).labels(**versions).set(1)

    def render(self, accept: str) -> tuple[bytes, str]:
        """OpenMetrics, which has exemplars, for who takes it; else Prometheus' own text. And the content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Counts(Collector):
    def __init__(self, name: str, text: str, label: str, counts: Mapping[Any, int]) -> None:
        self._name, self._text, self._label, self._counts = name, text, label, counts

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._text, labels=[self._label])
        for value, count in self._counts.items():
            family.add_metric([value], count)
        yield family

"""Drift as Prometheus sees it: read at scrape time."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LABELS = ["model", "signal"]


class SignalReading(NamedTuple):
    """How far a signal is from its reference, from where on that is drift (None where it cannot be judged yet), and whether drift
    has been confirmed.
    """

    distance: float | None
    threshold: float | None
    alert: bool


class DriftMetrics(Collector):
    """`read` gives all signals of each model."""

    def __init__(
        self, registry: CollectorRegistry, read: Callable[[], Mapping[str, Mapping[str, SignalReading]]]
    ) -> None:
        self._read = read
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        distance = GaugeMetricFamily(
            "sluice_drift_distance", "Distance between the present and what is normal.", labels=LABELS
        )
        threshold = GaugeMetricFamily("sluice_drift_threshold", "Distance from which on it is drift.", labels=LABELS)
        alert = GaugeMetricFamily("sluice_drift_alert", "1 where drift has been confirmed.", labels=LABELS)
        for model, signals in self._read().items():
            for signal, reading in signals.items():
                alert.add_metric([model, signal], reading.alert)
                if reading.distance is not None and reading.threshold is not None:
                    distance.add_metric([model, signal], reading.distance)
                    threshold.add_metric([model, signal], reading.threshold)
        yield from (distance, threshold, alert)

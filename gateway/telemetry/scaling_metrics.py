"""What the autoscaling policy decided, as it wrote it down: for `sluice status`, and for Prometheus at scrape time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

GAUGES = {
    "target": ("sluice_autoscaling_target_replicas", "Replicas that the policy asks for."),
    "ready": ("sluice_autoscaling_ready_replicas", "Replicas that serve, as the policy sees it."),
    "needed": ("sluice_autoscaling_needed_replicas", "Replicas needed, before bounds, steps and waiting."),
    "backlog_s": ("sluice_autoscaling_backlog_seconds", "Work that waits, in seconds of the replicas that serve."),
    "startup_s": (
        "sluice_autoscaling_startup_seconds",
        "Time until a new replica serves: configured, measured, or guessed.",
    ),
}


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """By model; empty where nothing is scaled."""
    records = {}
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text())
            records[str(record["model"])] = record
        except (OSError, ValueError, KeyError, TypeError):  # replaced or removed at this very moment, or not ours
            continue
    return records


class ScalingMetrics(Collector):
    def __init__(self, registry: CollectorRegistry, folder: Path, models: frozenset[str]) -> None:
        self._folder = folder
        self._models = models
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        records = {model: record for model, record in read(self._folder).items() if model in self._models}
        for key, (name, text) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=["model"])
            for model, record in records.items():
                if isinstance(value := record.get(key), int | float):
                    gauge.add_metric([model], value)
            yield gauge
        decisions = CounterMetricFamily(
            "sluice_autoscaling_decisions",
            "Changes of the number of replicas asked for.",
            labels=["model", "direction"],
        )
        for model, record in records.items():
            for direction in ("up", "down"):
                decisions.add_metric([model, direction], record.get("decisions", {}).get(direction, 0))
        yield decisions
        reasons = CounterMetricFamily(
            "sluice_autoscaling_reasons",
            "Decisions, one a second, by each kind of their reasons; direction none leaves the number as it is.",
            labels=["model", "direction", "reason"],
        )
        for model, record in records.items():
            for direction, given in record.get("reasons_given", {}).items():
                for reason, number in given.items():
                    reasons.add_metric([model, direction, reason], number)
        yield reasons

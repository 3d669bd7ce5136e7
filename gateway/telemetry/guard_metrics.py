"""The guard as Prometheus sees it: levels by tier, what it did, and the most that any account has of a model."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.telemetry.metrics import OTHER


class GuardReading(NamedTuple):
    """`keys`: (tier, level) → keys at it; `leaked`: model → the largest share of its output layer that an account has. `up`: what
    is seen is looked at and kept.
    """

    keys: Mapping[tuple[str, str], int]
    leaked: Mapping[str, float]
    seen: int
    dropped: int
    up: bool
    open_surface: bool


class GuardMetrics(Collector):
    """`tiers` are those of the configuration; every other one is told as `other`. All `levels` and `actions` are there from the
    start, at 0.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        tiers: Collection[str],
        levels: Collection[str],
        actions: Collection[str],
        read: Callable[[], GuardReading],
    ) -> None:
        self._tiers, self._levels, self._read = (*tiers, OTHER), levels, read
        counter = Counter(
            "sluice_guard_actions", "What the guard did to requests.", ["action", "tier"], registry=registry
        )
        self._actions = {(action, tier): counter.labels(action, tier) for action in actions for tier in self._tiers}
        registry.register(self)

    def acted(self, action: str, tier: str) -> None:
        self._actions[action, self.tier(tier)].inc()

    def tier(self, tier: str) -> str:
        return tier if tier in self._tiers else OTHER

    def collect(self) -> Iterator[Metric]:
        reading = self._read()
        level = GaugeMetricFamily("sluice_guard_level", "Keys above level observe.", labels=["level", "tier"])
        leaked = GaugeMetricFamily(
            "sluice_guard_leak_share", "Largest share of a model's output layer that one account has.", labels=["model"]
        )
        for name in self._levels:
            for tier in self._tiers:
                level.add_metric([name, tier], reading.keys.get((tier, name), 0))
        for model, share in reading.leaked.items():
            leaked.add_metric([model], share)
        yield from (level, leaked)
        yield CounterMetricFamily("sluice_guard_seen", "Requests that the guard looked at.", reading.seen)
        yield CounterMetricFamily("sluice_guard_dropped", "Requests that it had no time for.", reading.dropped)
        yield GaugeMetricFamily("sluice_guard_up", "1 while the guard keeps what it sees.", int(reading.up))
        yield GaugeMetricFamily("sluice_guard_open_surface", "1 if the guard is off.", int(reading.open_surface))

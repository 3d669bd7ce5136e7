"""What the limits and the audit trail do, as Prometheus sees it. Tiers and reasons are the configuration's and our own."""

from collections.abc import Callable, Collection
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.telemetry.metrics import OTHER

USE = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class StoreReading(NamedTuple):
    """Whether the limits' store answers, and the audit trail's records become durable."""

    limits: bool
    audit: bool


class _Tier:
    """One tier's metrics, their labels looked up once: they are there, at 0, before anything happens."""

    def __init__(self, metrics: "LimitMetrics", tier: str, reasons: Collection[str]) -> None:
        self.refused = {reason: metrics.refusals.labels(tier, reason) for reason in reasons}
        self.cut = {reason: metrics.cuts.labels(tier, reason) for reason in reasons}
        self.use = metrics.use.labels(tier)
        self.tokens = metrics.tokens.labels(tier)


class LimitMetrics:
    """`tiers` are those of the configuration; every other one is told as `other`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        tiers: Collection[str],
        reasons: Collection[str],
        read: Callable[[], StoreReading],
    ) -> None:
        self.refusals = Counter(
            "sluice_limits_refused", "Requests refused by the limits.", ["tier", "reason"], registry=registry
        )
        self.cuts = Counter(
            "sluice_limits_cut", "Requests ended before their end, by a budget.", ["tier", "reason"], registry=registry
        )
        self.use = Histogram(
            "sluice_budget_used_ratio",
            "Part of its tightest token budget that is taken, as a request has reserved.",
            ["tier"],
            buckets=USE,
            registry=registry,
        )
        self.tokens = Counter("sluice_limits_tokens", "Tokens paid from budgets.", ["tier"], registry=registry)
        self._tiers = {tier: _Tier(self, tier, reasons) for tier in (*tiers, OTHER)}
        up = Gauge("sluice_store_up", "1 while the store can be used.", ["store"], registry=registry)
        up.labels("limits").set_function(lambda: float(read().limits))
        up.labels("audit").set_function(lambda: float(read().audit))

    def refused(self, tier: str, reason: str) -> None:
        self._of(tier).refused[reason].inc()

    def cut(self, tier: str, reason: str) -> None:
        self._of(tier).cut[reason].inc()

    def reserved(self, tier: str, used: float) -> None:
        """`used`: of the budget, in [0, 1]."""
        self._of(tier).use.observe(used)

    def settled(self, tier: str, tokens: int) -> None:
        self._of(tier).tokens.inc(tokens)

    def _of(self, tier: str) -> _Tier:
        return self._tiers.get(tier) or self._tiers[OTHER]

"""What the limits and the audit trail do, as Prometheus sees it. Tiers and reasons are the configuration's and our own."""

from collections.abc import Callable
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

USE = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


class StoreReading(NamedTuple):
    """Whether the limits' store answers, and the audit trail's records become durable."""

    limits: bool
    audit: bool


class LimitMetrics:
    def __init__(self, registry: CollectorRegistry, read: Callable[[], StoreReading]) -> None:
        self._refused = Counter(
            "sluice_limits_refused", "Requests refused by the limits.", ["tier", "reason"], registry=registry
        )
        self._cut = Counter(
            "sluice_limits_cut", "Requests ended before their end, by a budget.", ["tier", "reason"], registry=registry
        )
        self._use = Histogram(
            "sluice_budget_used_ratio",
            "Part of its tightest token budget that is taken, as a request has reserved.",
            ["tier"],
            buckets=USE,
            registry=registry,
        )
        self._tokens = Counter("sluice_limits_tokens", "Tokens paid from budgets.", ["tier"], registry=registry)
        up = Gauge("sluice_store_up", "1 while the store can be used.", ["store"], registry=registry)
        up.labels("limits").set_function(lambda: float(read().limits))
        up.labels("audit").set_function(lambda: float(read().audit))

    def refused(self, tier: str, reason: str) -> None:
        self._refused.labels(tier, reason).inc()

    def cut(self, tier: str, reason: str) -> None:
        self._cut.labels(tier, reason).inc()

    def reserved(self, tier: str, used: float) -> None:
        """`used`: of the budget, in [0, 1]."""
        self._use.labels(tier).observe(used)

    def settled(self, tier: str, tokens: int) -> None:
        self._tokens.labels(tier).inc(tokens)

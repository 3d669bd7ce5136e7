"""From the configuration to the limits of one gateway."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.config.limits import Limits, LimitTier
from gateway.limits.limiter import Limiter, Settings, Shared
from gateway.limits.policy import Policy, TokenRule, WindowRule, window_rules
from gateway.limits.redis_budgets import RedisBudgets, connections
from gateway.limits.windows import RedisWindows


class Policies(NamedTuple):
    """`address` is for everybody, whoever they turn out to be."""

    address: tuple[WindowRule, ...]
    default: Policy
    tiers: Mapping[str, Policy]

    def of(self, tier: str) -> Policy:
        return self.tiers.get(tier, self.default)


def policies(settings: Limits) -> Policies:
    tiers = {name: _policy(tier) for name, tier in settings.tiers.items()}
    return Policies(window_rules("address", settings.address), _policy(settings.default), tiers)


def open_limiter(settings: Limits, gateways: int) -> Limiter:
    """Not started yet. `gateways`: how many share the limits when they cannot ask each other."""
    share = 1 / gateways if settings.share is None else settings.share
    timeout_s = settings.timeout_ms / 1000
    shared = None
    if settings.redis is not None:
        url = settings.redis.get_secret_value()
        pool = connections(url)
        shared = Shared(RedisWindows(url, pool, timeout_s), RedisBudgets(pool, timeout_s))
    return Limiter(shared, Settings(share=share, outage=settings.outage, lease_s=settings.lease_s))


def _policy(tier: LimitTier) -> Policy:
    windows = window_rules("key", tier.requests.key) + window_rules("tenant", tier.requests.tenant)
    return Policy(windows, tuple(TokenRule(b.scope, b.limit, b.per, b.model) for b in tier.tokens))

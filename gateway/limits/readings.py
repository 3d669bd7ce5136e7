"""How much of their token budgets tenants and keys have used."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gateway.limits.opening import Policies
from gateway.limits.policy import Subject, TokenRule
from gateway.limits.store import BudgetStore, Claim

MOST_KEYS = 5


class BudgetReading(NamedTuple):
    """`of` is a key's id, or `tenant`; tokens that are reserved count as used."""

    tenant: str
    of: str
    per: str
    model: str | None
    used: float
    limit: int


async def read_budgets(
    store: BudgetStore, policies: Policies, tenants: Sequence[tuple[str, Mapping[str, str]]]
) -> list[BudgetReading]:
    """`tenants` with the tiers of their keys, the key seen last being last; MOST_KEYS of each. Raises StoreUnavailable."""
    readings: list[BudgetReading] = []
    for tenant, keys in tenants:
        claims: dict[Claim, tuple[str, TokenRule]] = {}
        for key, tier in list(keys.items())[-MOST_KEYS:]:
            for rule in policies.of(tier).tokens:
                of = "tenant" if rule.scope == "tenant" else key
                claims[rule.claim(Subject(key, tenant))] = (of, rule)
        if claims:
            used = await store.used(tenant, list(claims))
            readings += [
                BudgetReading(tenant, of, rule.per, rule.model, tokens, rule.limit)
                for (of, rule), tokens in zip(claims.values(), used, strict=True)
            ]
    return readings

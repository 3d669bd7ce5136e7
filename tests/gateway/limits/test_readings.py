"""What is told of budgets that are used."""

import pytest

from gateway.config.limits import Limits
from gateway.limits.local_budgets import LocalBudgets
from gateway.limits.opening import policies
from gateway.limits.policy import Subject
from gateway.limits.readings import MOST_KEYS, read_budgets

LIMITS = {
    "default": {"tokens": [{"scope": "key", "limit": 50, "per": "minute"}]},
    "tiers": {
        "gold": {
            "tokens": [
                {"scope": "tenant", "limit": 1000, "per": "day"},
                {"scope": "key", "limit": 100, "per": "hour", "model": "m"},
            ]
        }
    },
}


async def test_each_budget_of_a_tenant_and_its_keys_is_told_once() -> None:
    known = policies(Limits.model_validate(LIMITS))
    store = LocalBudgets(lambda: 1e9)
    claims = [rule.claim(Subject("k1", "acme")) for rule in known.of("gold").tokens]
    await store.reserve("acme", "r", claims, 40, 60)
    found = await read_budgets(store, known, [("acme", {"k1": "gold", "k2": "gold", "k3": "unlisted"})])
    told = {(one.of, one.per): (one.model, one.used, one.limit) for one in found}
    assert len(found) == len(told)
    assert told == {
        ("tenant", "day"): (None, pytest.approx(40), 1000),
        ("k1", "hour"): ("m", pytest.approx(40), 100),
        ("k2", "hour"): ("m", 0, 100),
        ("k3", "minute"): (None, 0, 50),
    }


async def test_who_has_no_budget_is_not_told_and_many_keys_are_cut_short() -> None:
    store = LocalBudgets(lambda: 1e9)
    assert await read_budgets(store, policies(Limits()), [("acme", {"k": "gold"})]) == []
    keys = {f"k{number}": "unlisted" for number in range(9)}
    found = await read_budgets(store, policies(Limits.model_validate(LIMITS)), [("acme", keys)])
    assert [one.of for one in found] == [f"k{number}" for number in range(9 - MOST_KEYS, 9)]

"""Leak budgets at work: over links, names, restarts, and a store that stalls."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.guard.accounts import Accounts
from gateway.guard.exclusion import Ask
from gateway.guard.file_store import FileStore
from gateway.guard.leak_budgets import THREADS, Denied, Held, LeakBudgets
from gateway.guard.leaks import FREE_SETTINGS, Charge, Shape
from gateway.guard.store import GuardStoreUnavailable
from tests.waiting import eventually

SHAPE = Shape("m", "v1", 10, 100)
ASK = Ask(scalars=2, limit=10)


def budgets(store: object, share: float = 0.05, links: tuple[tuple[str, ...], ...] = ()) -> LeakBudgets:
    return LeakBudgets(store, Accounts(links), share, {"rich": 1.0}, "projection")


async def test_a_leak_budget_is_spent_once_and_never_refilled(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    leaks = budgets(store)
    held = await leaks.reserve("t", SHAPE, ASK, 2, 100)
    assert held == Held("v1-10x100/t", Charge(40, 0), ASK, 2, 100)
    assert await leaks.reserve("t", SHAPE, ASK, 1, 100) is Denied.SPENT
    leaks.settle(held, 7)
    eventually(lambda: store.meters()["v1-10x100/t"] == Charge(14, 0), 5)
    assert isinstance(await leaks.reserve("t", SHAPE, ASK, 1, 100), Held)
    leaks.close()
    assert isinstance(await budgets(store).reserve("rich", SHAPE, ASK, 20, 100), Held)
    assert await budgets(store).reserve("t", SHAPE, ASK, 1, 100) is Denied.SPENT
    newer = SHAPE._replace(version="v2")
    assert isinstance(await budgets(store).reserve("t", newer, ASK, 1, 100), Held)


async def test_linked_tenants_share_one_budget_and_it_is_told_as_a_share_of_the_model(tmp_path: Path) -> None:
    leaks = budgets(FileStore(tmp_path / "g.sqlite"), links=(("a", "b"),))
    assert isinstance(await leaks.reserve("a", SHAPE, ASK, 2, 100), Held)
    assert await leaks.reserve("b", SHAPE, ASK, 1, 100) is Denied.SPENT
    (row,) = await leaks.used()
    assert row["account"] == "a"
    assert row["model"] == "m"
    assert row["share_of_output_layer"] == pytest.approx(0.04)


async def spend(leaks: LeakBudgets, tenant: str, shape: Shape = SHAPE) -> int:
    """How many requests are granted."""
    granted = 0
    while isinstance(await leaks.reserve(tenant, shape, ASK, 1, 100), Held):
        granted += 1
    return granted


async def test_linking_tenants_refills_no_budget_and_unlinking_gives_each_its_own(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    alone = budgets(store)
    assert [await spend(alone, tenant) for tenant in ("bob", "carl")] == [2, 2]
    linked = budgets(store, links=(("alice", "bob", "carl"),))
    for tenant in ("alice", "bob", "carl"):
        assert await linked.reserve(tenant, SHAPE, ASK, 1, 100) is Denied.SPENT
    (row,) = await linked.used()
    assert (row["account"], row["scalars"]) == ("alice", 80)
    assert await spend(alone, "alice") == 2


async def test_linked_tenants_at_two_gateways_never_take_more_than_one_of_them_may(tmp_path: Path) -> None:
    stores = [FileStore(tmp_path / "g.sqlite") for _ in range(2)]
    here, there = (budgets(store, 0.1, links=(("a", "b"),)) for store in stores)
    granted = await asyncio.gather(*(spend(leaks, tenant) for leaks in (here, there) for tenant in ("a", "b")))
    assert sum(granted) == 5
    assert await here.used() == await there.used()


async def test_what_was_charged_to_a_link_as_a_whole_by_an_earlier_release_counts_on(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    assert store.reserve("v1-10x100/a", Charge(40, 0), Charge(50, 0))
    assert await spend(budgets(store, links=(("a", "b"),)), "b") == 0


async def test_what_was_charged_under_a_versions_former_name_counts_on_under_its_present_one(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    for tenant, scalars in (("a", 40), ("b", 20), ("c", 40)):
        assert store.reserve(f"old-10x100/{tenant}", Charge(scalars, 0), Charge(50, 0))
    renamed = SHAPE._replace(former="old")
    assert [await spend(budgets(store), tenant, renamed) for tenant in ("a", "b")] == [0, 1]
    # Whose template is edited then has another former name, and what it held is not lost.
    assert await spend(budgets(store), "c", SHAPE._replace(former="other")) == 0
    again = budgets(store)
    again.know(renamed)
    rows = await again.used()
    assert sorted((row["account"], row["scalars"], row["version"]) for row in rows) == [
        (tenant, 40, "v1-10x100") for tenant in "abc"
    ]


async def test_who_asks_for_text_alone_never_waits_for_the_store() -> None:
    assert await budgets(None).reserve("t", SHAPE, Ask(), 1, 100) is None


class Away:
    def reserve(self, *_: object) -> bool:
        raise GuardStoreUnavailable("away")

    settings = reserve


async def test_a_store_that_is_away_refuses_and_is_told(tmp_path: Path) -> None:
    leaks = budgets(Away())
    assert await leaks.reserve("t", SHAPE, ASK, 1, 100) is Denied.UNKNOWN
    assert leaks.problem is not None
    assert await leaks.reserve("t", SHAPE, Ask(), 1, 100) is None


class Stalled:
    """Each step ends after a while, and fails."""

    def __init__(self, lasts_s: float) -> None:
        self.lasts_s, self.asked = lasts_s, 0

    def reserve(self, *_: object) -> bool:
        self.asked += 1
        time.sleep(self.lasts_s)
        raise GuardStoreUnavailable("stalled")


async def test_a_stalled_store_costs_one_wait_however_many_ask_it() -> None:
    store = Stalled(0.2)
    leaks = budgets(store)
    begun = time.monotonic()
    found = await asyncio.gather(*(leaks.reserve("t", SHAPE, ASK, 1, 100) for _ in range(10 * THREADS)))
    assert time.monotonic() - begun < 6 * store.lasts_s
    assert set(found) == {Denied.UNKNOWN}
    assert "stalled" in str(leaks.problem)
    # Whoever comes after that asks again.
    before = store.asked
    assert await leaks.reserve("t", SHAPE, ASK, 1, 100) is Denied.UNKNOWN
    assert store.asked == before + 1
    leaks.close()


class Recovering(FileStore):
    """Stalls and fails while `down`."""

    down = False

    def reserve(self, *arguments: Any) -> bool:
        if self.down:
            time.sleep(0.05)
            raise GuardStoreUnavailable("stalled")
        return super().reserve(*arguments)


async def test_what_was_to_be_given_back_while_a_store_failed_is_given_back_once_it_answers(tmp_path: Path) -> None:
    store = Recovering(tmp_path / "g.sqlite")
    leaks = budgets(store)
    held = [await leaks.reserve("t", SHAPE, ASK, 1, 100) for _ in range(2)]
    (full,) = store.meters().values()
    store.down = True
    failing = [asyncio.ensure_future(leaks.reserve("t", SHAPE, ASK, 1, 100)) for _ in range(THREADS)]
    await asyncio.sleep(0)
    for one in held:
        assert isinstance(one, Held)
        leaks.settle(one, 0)
    assert set(await asyncio.gather(*failing)) == {Denied.UNKNOWN}
    store.down = False
    last = await leaks.reserve("t", SHAPE, ASK, 1, 100)
    assert isinstance(last, Held)
    leaks.settle(last, 0)
    leaks.close()
    assert full != Charge()
    assert list(store.meters().values()) == [Charge()]


async def test_a_request_that_is_cancelled_while_it_reserves_takes_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    leaks = budgets(store)
    for _ in range(20):
        asking = asyncio.ensure_future(leaks.reserve("t", SHAPE, ASK, 2, 100))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    leaks.close()
    assert all(used == Charge() for used in store.meters().values())


async def test_the_first_settings_of_an_account_are_free_at_all_gateways_and_for_good(tmp_path: Path) -> None:
    here, there = (budgets(FileStore(tmp_path / "g.sqlite"), links=(("a", "b"),)) for _ in range(2))
    for at in range(FREE_SETTINGS):
        assert await (here, there)[at % 2].familiar("a", SHAPE, f"t{at}")
    for leaks in (here, there, budgets(FileStore(tmp_path / "g.sqlite"), links=(("a", "b"),))):
        assert await leaks.familiar("b", SHAPE, "t3")
        assert not await leaks.familiar("a", SHAPE, "one more")
    assert await here.familiar("another", SHAPE, "one more")
    assert await here.familiar("a", SHAPE._replace(version="v2"), "one more")


async def test_while_the_store_is_away_a_gateway_counts_settings_itself() -> None:
    leaks = budgets(Away())
    found = [await leaks.familiar("t", SHAPE, f"t{at}") for at in range(FREE_SETTINGS + 2)]
    assert found == [True] * FREE_SETTINGS + [False] * 2
    assert await leaks.familiar("t", SHAPE, "t0")

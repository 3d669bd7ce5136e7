"""Accounts with several keys: a harvest gains nothing from being linked, and a large customer is no harvest."""

import random
from collections.abc import Callable, Iterator

import pytest

from gateway.guard.accounts import ACCOUNT
from gateway.guard.detector import Detector, DetectorSettings
from gateway.guard.response import Rules, Standing
from gateway.guard.verdict import Level
from tests.gateway.guard.observations import START, harvested, seen

KEYS = 12
TENANTS = tuple(f"t{number:02}" for number in range(KEYS))
TENANT_OF: dict[str, Callable[[int], str]] = {"tenant": lambda _: "one", "links": TENANTS.__getitem__}


def detector(*links: tuple[str, ...]) -> Detector:
    return Detector(DetectorSettings(rules=Rules(Level.QUARANTINE), links=links), secret=b"s")


def hydra(judge: Detector, tenant_of: Callable[[int], str]) -> Detector:
    asked = [
        each._replace(tenant=tenant_of(key)) for key in range(KEYS) for each in harvested(f"h{key}", 20, START + key)
    ]
    judge.take(*sorted(asked, key=lambda each: each.at)[:60])
    judge.take(*sorted(asked, key=lambda each: each.at)[60:])
    judge.judge(START + 9000)
    judge.judge(START + 9031)
    return judge


@pytest.fixture(scope="module")
def unlinked() -> Detector:
    return hydra(detector(), TENANTS.__getitem__)


@pytest.mark.parametrize("by", ["tenant", "links"])
def test_a_linked_hydra_scores_no_lower_than_an_unlinked_one(unlinked: Detector, by: str) -> None:
    linked = hydra(detector(TENANTS), TENANT_OF[by])
    for key in range(KEYS):
        ours, theirs = linked.verdict(f"h{key}"), unlinked.verdict(f"h{key}")
        # But for near-copies, which the keys of one tenant may well send.
        assert ours.score >= theirs.score - 0.5
        assert ours.level >= theirs.level >= Level.VERIFY
    (account,) = [name for name in linked.records if name.startswith(ACCOUNT)]
    assert linked.verdict(account).level >= Level.VERIFY
    assert not any(name.startswith(ACCOUNT) for name in unlinked.records)


def test_an_accounts_sketches_are_those_of_its_keys_together() -> None:
    judge = hydra(detector(), TENANT_OF["tenant"])
    whole = judge.records[ACCOUNT + "one"].profile
    assert whole.get("requests") == KEYS * 20
    assert whole.get("completion") == sum(judge.records[f"h{key}"].profile.get("completion") for key in range(KEYS))


def test_a_fleet_of_one_customers_keys_is_no_hydra() -> None:
    judge, rng = detector(), random.Random(5)
    for turn in range(KEYS * 30):
        about = " ".join(
            rng.choices("engine report garden market letter bridge window teacher kitchen river".split(), k=6)
        )
        text = f"You are the help desk. Reply from the articles only. Customer: {about}"
        judge.take(seen(text, START + 20 * turn, f"pod{turn % KEYS}", tenant="shop", completion_tokens=80))
    judge.judge(START + 9000)
    judge.judge(START + 9031)
    assert {judge.verdict(name).level for name in judge.records} == {Level.OBSERVE}


def test_a_conversation_may_go_on_under_another_key_of_its_account() -> None:
    judge = detector()
    for turn, messages in enumerate(conversation(12)):
        asked = seen(at=START + turn, key=f"pod{turn % 2}", tenant="one", messages=messages)
        judge.take(asked, asked._replace(key="elsewhere", tenant="other")) if turn else judge.take(asked)
    assert judge.records["pod0"].profile.get("replayed") + judge.records["pod1"].profile.get("replayed") == 0
    assert judge.records["elsewhere"].profile.get("replayed") == 1


def test_a_conversation_may_go_on_at_another_gateway() -> None:
    gateways = (detector(), detector())
    for turn, messages in enumerate(conversation(12)):
        here, there = gateways[turn % 2], gateways[1 - turn % 2]
        here.take(seen(at=START + turn, key="k", messages=messages))
        there.learn("k", here.ledger("k"), START + turn)
        there.merge("k", "another", here.records["k"].profile)
    assert [each.features("k").replayed for each in gateways] == [0, 0]


def conversation(turns: int) -> Iterator[tuple[tuple[str, str], ...]]:
    """The messages of each of its requests."""
    history: tuple[tuple[str, str], ...] = (("user", "What is next?"),)
    for turn in range(turns):
        yield history
        history = (*history, ("assistant", f"This is {turn}."), ("user", f"And after {turn}?"))


def test_two_keys_that_are_held_hold_their_account_and_one_does_not() -> None:
    judge = detector()
    for key in ("a", "b", "c"):
        judge.take(seen(key=key, tenant="one"))
    for key in ("a", "b"):
        assert judge.verdict(ACCOUNT + "one").level is Level.OBSERVE
        judge.records[key].standing = Standing(Level.VERIFY, START, START)
        judge.judge(START + 60, [ACCOUNT + "one"])
    assert judge.verdict(ACCOUNT + "one").level is Level.VERIFY
    assert judge.verdict(ACCOUNT + "one").reasons[0].feature == "keys_held"
    assert {change.key for change in judge.release("a", START + 61)} == {"a", ACCOUNT + "one"}
    judge.judge(START + 62, [ACCOUNT + "one"])
    assert judge.verdict(ACCOUNT + "one").level is Level.OBSERVE
    assert len(judge.release(ACCOUNT + "one", START + 63)) == 4


def test_of_a_trusted_tenants_keys_no_account_is_made() -> None:
    judge = Detector(DetectorSettings(trusted=frozenset({"one"})), secret=b"s")
    for key in ("a", "b"):
        judge.take(seen(key=key, tenant="one"))
    assert set(judge.records) == {"a", "b"}

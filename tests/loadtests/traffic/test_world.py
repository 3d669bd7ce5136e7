import re
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from loadtests.traffic import applications, attacks, batches, people
from loadtests.traffic.call import DAY_S, Split
from loadtests.traffic.campaigns import PLANS, Plan
from loadtests.traffic.world import FAMILIES, FLEET, World


def test_the_same_seed_gives_the_same_day_whatever_was_asked_before():
    one, other = (World(Split.TRAIN, 7, per_family=1, plans=PLANS[:1]) for _ in range(2))
    other.day(0)
    assert one.day(1) == other.day(1)
    assert one.day(0) != World(Split.TRAIN, 8, per_family=1, plans=PLANS[:1]).day(0)


def test_a_day_is_in_order_and_holds_every_family():
    calls = World(Split.TEST, 1, per_family=1).day(2)
    assert [call.at for call in calls] == sorted(call.at for call in calls)
    assert {call.sender.family for call in calls} == {*FAMILIES, "fleet of keys"}
    assert min(call.at for call in calls) >= 2 * DAY_S
    assert len(FAMILIES) >= 8


@pytest.mark.parametrize(("one", "other"), combinations(Split, 2))
def test_no_tenant_and_no_piece_of_a_template_is_in_two_parts(one, other):
    tenants = [{sender.tenant for sender in World(part, 1, per_family=2, plans=PLANS).senders} for part in (one, other)]
    assert tenants[0].isdisjoint(tenants[1])
    pools = [
        value
        for module in (applications, attacks, batches, people)
        for name, value in vars(module).items()
        if re.fullmatch(r"_[A-Z_]+", name) and name not in {"_OBSERVATIONS", "_MOODS"}
    ]
    assert len(pools) >= 15
    for pieces in pools:
        assert one.of(pieces)
        assert set(one.of(pieces)).isdisjoint(other.of(pieces))


def test_a_campaign_shares_its_harvest_evenly_and_covers_it_as_planned():
    plan = replace(next(plan for plan in PLANS if plan.cover == 0.5), keys=10, per_day=20)
    calls = World(Split.TRAIN, 1, per_family=0, plans=[plan]).day(0)
    by_key = {}
    for call in calls:
        assert call.sender.attack
        by_key.setdefault(call.sender.key, []).append(call.draft.harvest)
    assert {(len(sent), sum(sent)) for sent in by_key.values()} == {(40, 20)}


def test_forwarded_traffic_is_made_of_chat_alone():
    plan = Plan("forwarded", attacks.templates, 4, 30, forwarded=True)
    calls = World(Split.TRAIN, 1, per_family=0, plans=[plan]).day(0)
    systems = {call.draft.messages[0][1] for call in calls if call.draft.messages[0][0] == "system"}
    assert len(calls) == 120
    assert all(call.draft.harvest for call in calls)
    assert 0 < len(systems) <= 12


def test_a_fleets_keys_are_one_tenants_and_share_its_work_evenly():
    calls = [call for call in World(Split.TRAIN, 1, per_family=1).day(0) if call.sender.family == "fleet of keys"]
    sent = Counter(call.sender.key for call in calls)
    assert len(sent) == FLEET
    assert len({call.sender.tenant for call in calls}) == 1
    assert max(sent.values()) - min(sent.values()) <= 1


def test_a_hydra_of_one_tenant_is_one_account():
    plan = Plan("one", attacks.templates, 4, 5, one_tenant=True)
    senders = World(Split.TRAIN, 1, per_family=0, plans=[plan]).senders
    assert (len({each.key for each in senders}), len({each.tenant for each in senders})) == (4, 1)


def test_history_repeats_answers_that_were_given():
    calls = World(Split.TRAIN, 3, per_family=1).day(0)
    given = {call.draft.answer for call in calls if call.draft.answer}
    repeated = {
        text
        for call in calls
        for role, text in call.draft.messages
        if role == "assistant" and call.sender.family in {"chat", "coding assistant"}
    }
    assert repeated
    assert repeated <= given

"""A tenant over its share starts few requests at once while others are there, and takes no place that one of them just left."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.fair_queue import FairQueue
from gateway.admission.kept import KEPT_S
from gateway.admission.ledger import RECENT_S, Entry, State
from gateway.admission.ticket import Capacity, Policy, Priority, Ticket

SEQUENCES = 64
PACE = 4
SHARE = 32
"""Of one of two tenants."""


def ticket(tenant: str, prompt: int = 100) -> Ticket:
    return Ticket(tenant, tenant, prompt, 100)


def flooded(
    engines: int = 1, company: bool = True, prompt: int = 100, answers: int = 100, prefill: int = 10**9
) -> tuple[FairQueue, list[Entry]]:
    """All that a flood may start at once runs, perhaps just after another tenant's request ended. Its answers are known by then."""
    fair = FairQueue(Policy(reserve=0.0, tenant_share=0.9), Capacity(SEQUENCES, prefill, engines))
    for _ in range(200):
        known = fair.offer(ticket("flood"), -RECENT_S)
        assert isinstance(known, Entry)
        fair.leave(known, -RECENT_S, answers)
    if company:
        other = fair.offer(ticket("other"), 0.0)
        assert isinstance(other, Entry)
        fair.leave(other, 0.0, 10)
    offered = [fair.offer(ticket("flood", prompt), 0.0) for _ in range(200)]
    return fair, [entry for entry in offered if isinstance(entry, Entry)]


def prefill(fair: FairQueue, entries: list[Entry]) -> None:
    for entry in entries:
        fair.prefilled(entry, entry.prefill)


def started(fair: FairQueue, now: float) -> int:
    count = 0
    while fair.take(now) is not None:
        count += 1
    return count


def test_beyond_its_share_a_flood_goes_on_by_a_sixteenth_of_the_sequences_after_each_prefill() -> None:
    fair, entries = flooded()
    assert fair.sequences == SHARE
    for step in range(1, 5):
        prefill(fair, entries)
        assert started(fair, 0.1 * step) == PACE
        assert started(fair, 0.1 * step) == 0


def test_each_engine_may_have_a_prompt_of_it() -> None:
    fair, entries = flooded(engines=8)
    prefill(fair, entries)
    assert started(fair, 0.1) == 8


def test_answers_so_short_that_places_would_stand_idle_begin_as_fast_as_they_end() -> None:
    fair, entries = flooded(answers=3)
    prefill(fair, entries)
    assert started(fair, 0.1) == SEQUENCES // 3


def test_but_no_faster_than_their_prompts_fill_a_step() -> None:
    """An eighth of 8,000 tokens; ten prompts of 100."""
    fair, entries = flooded(answers=3, prefill=8000)
    prefill(fair, entries)
    assert started(fair, 0.1) == 10


@pytest.mark.parametrize(("prompt", "engines", "at_once"), [(450, 1, 2), (1500, 1, 1), (1500, 3, 3)])
def test_long_prompts_stand_before_nobody_elses_by_more_than_a_step(prompt: int, engines: int, at_once: int) -> None:
    fair, entries = flooded(engines, prompt=prompt, prefill=8000)
    prefill(fair, entries)
    while fair.sequences < SHARE:
        assert started(fair, 0.0)
        prefill(fair, [entry for entry in entries if entry.state is State.RUNNING])
    assert started(fair, 0.1) == at_once


def test_a_tenants_own_batch_prompts_do_not_hold_back_its_interactive_ones() -> None:
    fair = FairQueue(Policy(), Capacity(20, 10**9))
    fair.offer(ticket("other"), 0.0)
    for _ in range(12):
        fair.offer(ticket("tenant")._replace(priority=Priority.BATCH), 0.0)
    assert fair.take(0.0) is None
    assert fair.sequences < 16
    interactive = fair.offer(ticket("tenant")._replace(priority=Priority.INTERACTIVE), 0.0)
    assert fair.take(0.0) is interactive


def test_alone_it_starts_as_many_as_there_is_room_for() -> None:
    fair, _ = flooded(company=False)
    assert fair.sequences == SEQUENCES


def test_its_company_is_forgotten_after_a_while() -> None:
    fair, entries = flooded()
    prefill(fair, entries)
    assert started(fair, RECENT_S + 0.1) == SEQUENCES - SHARE


def test_a_newcomer_passes_a_flood_that_is_held_back() -> None:
    fair, _ = flooded()
    fair.offer(ticket("newcomer"), 0.1)
    entry = fair.take(0.1)
    assert entry is not None
    assert entry.ticket.tenant == "newcomer"


def beside(reserve: float = 0.2) -> tuple[FairQueue, Entry, Entry]:
    """A flood that waits and keeps its pace, and the request of a tenant within its share that has just ended."""
    fair = FairQueue(Policy(reserve=reserve), Capacity(20, 10**9))
    quiet = fair.offer(ticket("quiet"), 0.0)
    entries = [fair.offer(ticket("flood"), 0.0) for _ in range(40)]
    assert isinstance(quiet, Entry)
    flood = [entry for entry in entries if isinstance(entry, Entry)]
    while fair.sequences < 16:
        prefill(fair, flood)
        assert started(fair, 0.0)
    prefill(fair, flood)
    fair.leave(quiet, 1.0, 10)
    return fair, quiet, flood[0]


def test_a_place_is_kept_for_a_moment_for_whoever_left_it() -> None:
    fair, _, _ = beside()
    assert started(fair, 1.0) == 0
    assert fair.next_free(1.0) == 1.0 + KEPT_S
    assert isinstance(back := fair.offer(ticket("quiet"), 1.05), Entry)
    assert fair.take(1.05) is back
    assert fair.next_free(1.05) is None


def test_it_goes_to_the_flood_if_nobody_comes_back_to_it() -> None:
    fair, _, _ = beside()
    assert started(fair, 1.0 + KEPT_S) == 1


def test_a_place_that_the_flood_left_is_not_kept() -> None:
    fair, _, running = beside()
    fair.leave(running, 1.0, 10)
    assert started(fair, 1.0) == 1


def test_what_was_kept_is_forgotten_though_nobody_ever_waits() -> None:
    fair = FairQueue(Policy(), Capacity(20, 10**9))
    for second in range(1000):
        entry = fair.offer(ticket("quiet"), float(second))
        assert isinstance(entry, Entry)
        fair.leave(entry, second + 0.5, 10)
    assert len(fair._kept._left) == 1


def test_of_several_sequences_only_those_are_kept_that_ran_to_the_end() -> None:
    fair = FairQueue(Policy(), Capacity(20, 10**9))
    wide = fair.offer(ticket("quiet")._replace(sequences=4), 0.0)
    assert isinstance(wide, Entry)
    for _ in range(3):
        fair.finished(wide)
    fair.leave(wide, 60.0, 10)
    assert fair._kept.sequences(60.0) == 1


def test_no_more_is_kept_than_fits_the_reserve() -> None:
    fair, _, _ = beside(reserve=0.0)
    assert started(fair, 1.0) == 1


@pytest.mark.parametrize("floods", [7, 8, 12])
def test_however_many_flood_a_tenant_within_its_share_gets_the_reserve(floods: int) -> None:
    fair = FairQueue(Policy(), Capacity(80, 10**9))
    entries: list[Entry] = []
    for name in [f"present {number}" for number in range(12)] + [f"flood {number}" for number in range(floods)] * 40:
        made = fair.offer(ticket(name), 0.0)
        entries += [made] if isinstance(made, Entry) else []
        prefill(fair, entries)
        started(fair, 0.0)
    assert (fair.sequences, fair.waiting.requests > 0) == (64, True)
    for second in range(1, 5):
        light = fair.offer(ticket("light"), float(second))
        assert isinstance(light, Entry)
        assert fair.take(float(second)) is light
        fair.leave(light, second + 0.05, 10)


@pytest.mark.parametrize("floods", [2, 10, 30])
def test_floods_that_run_their_share_each_leave_the_reserve_to_whoever_comes(floods: int) -> None:
    fair = FairQueue(Policy(), Capacity(80, 10**9))
    entries: list[Entry] = []
    for name in [f"flood {number}" for number in range(floods)] * 40:
        made = fair.offer(ticket(name), 0.0)
        entries += [made] if isinstance(made, Entry) else []
        prefill(fair, entries)
        started(fair, 0.0)
    assert fair.sequences == 64
    newcomers = [fair.offer(ticket(f"newcomer {number}"), 0.0) for number in range(17)]
    assert [fair.take(0.0) for _ in newcomers] == [*newcomers[:16], None]


def test_floods_that_are_held_back_let_no_batch_work_go_before_a_light_tenant() -> None:
    fair = FairQueue(Policy(reserve=0.0), Capacity(SEQUENCES, 10**9))
    batch = ticket("batch")._replace(prompt_guess=10**6, priority=Priority.BATCH)
    fair.offer(batch, 0.0)
    owes = fair.offer(batch._replace(tenant="light", priority=Priority.INTERACTIVE), 0.0)
    assert isinstance(owes, Entry)
    fair.leave(owes, 0.0)
    for name in [f"flood {number}" for number in range(12)] * 10 + ["light"]:
        light = fair.offer(ticket(name)._replace(priority=Priority.INTERACTIVE), 0.0)
    assert fair.sequences < SEQUENCES
    fair.offer(batch, 0.0)
    assert isinstance(light, Entry)
    assert fair.take(0.0) is light


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.2, 0.45]),
    st.sampled_from(["aaaaabc", "aaaabbbbccccddddeeeeffffgggghhhhiiiijkl"]),
    st.integers(0, 2**32),
)
def test_nobody_waits_for_nothing(sequences: int, engines: int, reserve: float, tenants: str, seed: int) -> None:
    """A tenant below its share waits for a place, and any other for a place outside the reserve, the next prefill, or a known
    instant.
    """
    dice = random.Random(seed)
    fair = FairQueue(Policy(reserve=reserve), Capacity(sequences, 10**9, engines))
    entries: list[Entry] = []
    now = 0.0
    for _ in range(200):
        now += dice.choice((0.0, 0.01, KEPT_S))
        running = [entry for entry in entries if entry.state is State.RUNNING]
        match dice.randrange(5):
            case 0 | 1 | 2:
                made = fair.offer(ticket(dice.choice(tenants)), now)
                entries += [made] if isinstance(made, Entry) else []
            case 3 if running:
                prefill(fair, dice.sample(running, dice.randint(1, len(running))))
            case _ if running:
                fair.leave(dice.choice(running), now, 50)
        started(fair, now)
        entries = [entry for entry in entries if entry.state is not State.ENDED]
        places = math.ceil(sequences * (1 - reserve))
        below = within_their_share(entries, places)
        assert fair.sequences >= sequences or not any(entry.flow.tenant.name in below for entry in waiting(entries))
        pending = [entry for entry in entries if entry.state is State.RUNNING and entry.prefill]
        if waiting(entries) and fair.sequences < places and not pending:
            assert (then := fair.next_free(now)) is not None
            assert now < then <= now + KEPT_S


def waiting(entries: list[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.state is State.WAITING]


def within_their_share(entries: list[Entry], places: int) -> set[str]:
    present = {entry.ticket.tenant for entry in entries}
    runs = Counter(entry.ticket.tenant for entry in entries if entry.state is State.RUNNING)
    return {tenant for tenant in present if not runs[tenant] or (runs[tenant] + 1) * (len(present) + 1) <= places}


def test_what_is_kept_is_free_at_the_instant_that_was_told() -> None:
    fair, _, _ = beside()
    then = fair.next_free(1.0)
    assert then is not None
    assert started(fair, then - 0.001) == 0
    assert started(fair, then) == 1
    assert fair.next_free(then) is None

"""A tenant over its share starts few requests at once while others are there, and takes no place that one of them just left."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.fair_queue import FairQueue
from gateway.admission.kept import KEPT_S
from gateway.admission.ledger import RECENT_S, Entry, State
from gateway.admission.ticket import Capacity, Policy, Ticket

SEQUENCES = 64
PACE = 4
SHARE = 32
"""Of one of two tenants."""


def ticket(tenant: str) -> Ticket:
    return Ticket(tenant, tenant, 100, 100)


def flooded(engines: int = 1, company: bool = True) -> tuple[FairQueue, list[Entry]]:
    """All that a flood may start at once runs, perhaps just after another tenant's request ended."""
    fair = FairQueue(Policy(reserve=0.0, tenant_share=0.9), Capacity(SEQUENCES, 10**9, engines))
    if company:
        other = fair.offer(ticket("other"), 0.0)
        assert isinstance(other, Entry)
        fair.leave(other, 0.0, 10)
    offered = [fair.offer(ticket("flood"), 0.0) for _ in range(200)]
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


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32))
def test_nobody_waits_while_there_is_room_and_all_prompts_are_prefilled(
    sequences: int, engines: int, seed: int
) -> None:
    """So a flood that is held back is held back for a step, whatever else happens."""
    dice = random.Random(seed)
    fair = FairQueue(Policy(reserve=0.0), Capacity(sequences, 10**9, engines))
    entries: list[Entry] = []
    for turn in range(150):
        now = 0.1 * turn
        running = [entry for entry in entries if entry.state is State.RUNNING]
        match dice.randrange(4):
            case 0 | 1:
                made = fair.offer(ticket(dice.choice("aaaaabc")), now)
                entries += [made] if isinstance(made, Entry) else []
            case 2 if running:
                prefill(fair, dice.sample(running, dice.randint(1, len(running))))
            case _ if running:
                fair.leave(dice.choice(running), now, 50)
        started(fair, now)
        pending = [entry for entry in entries if entry.state is State.RUNNING and entry.prefill]
        assert not fair.waiting.requests or fair.sequences >= sequences or pending
        assert sum(tenant.prefilling for tenant in {entry.flow.tenant for entry in entries}) == len(pending)

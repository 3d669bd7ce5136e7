"""The fair queue: shares, classes, the reserve, bounds and refusals."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.ticket import Capacity, Policy, Priority, Reason, Refusal, Ticket

PLENTY = 10**9


def ticket(tenant: str = "a", prompt: int = 100, limit: int = 100, **more) -> Ticket:
    return Ticket(tenant, more.pop("key", tenant), prompt, limit, **more)


def queue(sequences: int = 1, prefill: int = PLENTY, **policy) -> FairQueue:
    return FairQueue(Policy(**{"reserve": 0.0, **policy}), Capacity(sequences, prefill))


def taken(outcome: Entry | Refusal) -> Entry:
    assert isinstance(outcome, Entry)
    return outcome


def refused(outcome: Entry | Refusal) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def flood(fair: FairQueue, number: int, *args, **more) -> list[Entry | Refusal]:
    return [fair.offer(ticket(*args, **more), 0.0) for _ in range(number)]


def work_through(fair: FairQueue, turns: int, refill: dict[str, Ticket], actual) -> Counter[str]:
    """One at a time: the running request ends, the next starts and is replaced. Returns true tokens by tenant."""
    done: Counter[str] = Counter()
    running = None
    for turn in range(turns):
        if running is not None:
            assert fair.leave(running, float(turn), actual(running.ticket) - running.prompt)
            done[running.ticket.tenant] += actual(running.ticket)
        running = fair.take(float(turn))
        assert running is not None
        fair.counted(running, running.ticket.prompt_guess)
        fair.offer(refill[running.ticket.tenant], float(turn))
    return done


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([1.0, 2.0, 4.0]), min_size=2),
    st.integers(0, 2**32),
)
def test_shares_of_true_tokens_converge_to_the_weights_however_long_the_answers_are(weights, seed) -> None:
    """Tenant a's answers are 20 times as long as expected of it at first, b's are next to nothing."""
    dice = random.Random(seed)
    mean = {tenant: dice.choice([10, 200, 2000]) for tenant in weights}
    fair = queue(max_requests=1000, max_tokens=PLENTY)
    blocker = taken(fair.offer(ticket("blocker"), 0.0))
    refill = {tenant: ticket(tenant, 50, 4000, weight=weight) for tenant, weight in weights.items()}
    for each in refill.values():
        for _ in range(3):
            fair.offer(each, 0.0)
    fair.leave(blocker, 0.0, 0)
    done = work_through(fair, 1500, refill, lambda each: 50 + 1 + dice.randrange(2 * mean[each.tenant]))
    total, weight = sum(done.values()), sum(weights.values())
    for tenant in weights:
        slack = 8 * (4050 + 4000) * max(1.0, weights[tenant])
        assert abs(done[tenant] - total * weights[tenant] / weight) <= slack


def test_shares_count_tokens_and_not_requests() -> None:
    fair = queue(max_tokens=PLENTY)
    fair.offer(ticket("blocker"), 0.0)
    long, short = ticket("long", 900, 100), ticket("short", 50, 50)
    for each in (long, short):
        for _ in range(3):
            fair.offer(each, 0.0)
    fair.leave(taken(fair.take(0.0) or next(iter(fair._keys.in_progress("blocker")))), 0.0, 0)
    done = work_through(fair, 1100, {"long": long, "short": short}, lambda each: each.prompt_guess + 50)
    assert done["long"] == pytest.approx(done["short"], rel=0.1)


def test_classes_share_by_weight_and_batch_is_never_starved() -> None:
    fair = queue(max_tokens=PLENTY)
    fair.offer(ticket("blocker"), 0.0)
    kinds = {name: ticket(name, priority=Priority(name)) for name in ("interactive", "standard", "batch")}
    for each in kinds.values():
        for _ in range(3):
            fair.offer(each, 0.0)
    fair.leave(next(iter(fair._keys.in_progress("blocker"))), 0.0, 0)
    done = work_through(fair, 2100, kinds, lambda _each: 150)
    total = sum(done.values())
    assert done["interactive"] / total == pytest.approx(16 / 21, abs=0.02)
    assert done["standard"] / total == pytest.approx(4 / 21, abs=0.02)
    assert done["batch"] / total == pytest.approx(1 / 21, abs=0.02)


def test_a_batch_request_waits_for_at_most_its_classes_share_of_a_flood() -> None:
    """The stated bound: between two batch requests, 16/1 and 4/1 of a batch request, and one more of each class."""
    fair = queue(max_tokens=PLENTY)
    fair.offer(ticket("blocker"), 0.0)
    flood(fair, 5, "batch", priority=Priority.BATCH)
    refill = {name: ticket(name, priority=Priority(name)) for name in ("interactive", "standard")}
    for each in refill.values():
        for _ in range(3):
            fair.offer(each, 0.0)
    fair.leave(next(iter(fair._keys.in_progress("blocker"))), 0.0, 0)
    since, gaps = 0, []
    for turn in range(200):
        entry = fair.take(float(turn))
        assert entry is not None
        fair.leave(entry, float(turn), 100)
        if entry.ticket.tenant == "batch":
            gaps.append(since)
            since = 0
            fair.offer(ticket("batch", priority=Priority.BATCH), float(turn))
        else:
            since += 1
            fair.offer(refill[entry.ticket.tenant], float(turn))
    assert len(gaps) > 5
    assert max(gaps) <= 16 + 4 + 2


def test_a_tenants_requests_are_first_come_first_served() -> None:
    fair = queue()
    first, *rest = [taken(fair.offer(ticket(prompt=prompt), 0.0)) for prompt in (10, 500, 20, 300)]
    order = []
    running: Entry | None = first
    while running is not None:
        order.append(running)
        fair.leave(running, 0.0, 1)
        running = fair.take(0.0)
    assert order == [first, *rest]


def test_the_same_offers_are_served_in_the_same_order() -> None:
    def order() -> list[str]:
        dice = random.Random(7)
        fair = queue()
        fair.offer(ticket("z"), 0.0)
        for _ in range(60):
            fair.offer(ticket(dice.choice("abc"), dice.randrange(1, 900)), 0.0)
        fair.leave(next(iter(fair._keys.in_progress("z"))), 0.0, 0)
        names = []
        while (entry := fair.take(0.0)) is not None:
            names.append(entry.ticket.tenant)
            fair.leave(entry, 0.0, 50)
        return names

    assert order() == order()


def test_a_prompt_is_let_in_while_any_prefill_budget_is_left_and_none_after() -> None:
    fair = queue(sequences=100, prefill=1000)
    first = taken(fair.offer(ticket(prompt=900), 0.0))
    second = taken(fair.offer(ticket(prompt=5000), 0.0))
    third = taken(fair.offer(ticket(prompt=1), 0.0))
    assert [each.state for each in (first, second, third)] == [State.RUNNING, State.RUNNING, State.WAITING]
    fair.prefilled(second, 5000)
    assert fair.take(0.0) is third


def test_several_sequences_count_as_that_many() -> None:
    fair = queue(sequences=4)
    taken(fair.offer(ticket(sequences=4), 0.0))
    assert taken(fair.offer(ticket("b"), 0.0)).state is State.WAITING


def test_the_reserve_is_for_those_below_their_share() -> None:
    fair = queue(sequences=16, reserve=0.25, max_tokens=PLENTY)
    greedy = flood(fair, 40, "greedy")
    assert fair.sequences == 12
    assert taken(fair.offer(ticket("modest"), 0.0)).state is State.WAITING
    assert (entry := fair.take(0.0)) is not None
    assert entry.ticket.tenant == "modest"
    taken(fair.offer(ticket("patient", priority=Priority.BATCH), 0.0))
    assert fair.take(0.0) is None
    fair.leave(taken(greedy[0]), 0.0, 1)
    assert fair.take(0.0) is None
    fair.leave(taken(greedy[1]), 0.0, 1)
    assert fair.take(0.0) is not None


def wide_beside_a_flood(sequences: int = 6) -> tuple[FairQueue, list[Entry], Entry]:
    """Ten places, two of them reserved; seven taken, so that a request of several sequences waits."""
    fair = queue(sequences=10, reserve=0.2, max_tokens=PLENTY)
    running = [taken(each) for each in flood(fair, 7, "flood")]
    wide = taken(fair.offer(ticket("wide", sequences=sequences), 0.0))
    assert wide.state is State.WAITING
    return fair, running, wide


def test_a_request_of_several_sequences_starts_when_all_of_them_find_a_place() -> None:
    fair, running, wide = wide_beside_a_flood()
    for entry in running[:4]:
        fair.leave(entry, 0.0, 1)
        assert fair.take(0.0) is None
    fair.leave(running[4], 0.0, 1)
    assert fair.take(0.0) is wide
    assert fair.sequences == 8


def test_it_leaves_the_reserve_to_those_below_their_share() -> None:
    fair, _, wide = wide_beside_a_flood()
    quiet = [taken(fair.offer(ticket("quiet"), 0.0)) for _ in range(3)]
    assert [fair.take(0.0), fair.take(0.0), fair.take(0.0)] == [*quiet[:2], None]
    assert wide.state is State.WAITING


@pytest.mark.parametrize("sequences", [6, 8, 20])
def test_it_waits_for_what_runs_and_not_for_whoever_comes_then(sequences: int) -> None:
    """More sequences than there are places (engines have left) start once nothing else runs, but for who may pass."""
    fair, running, wide = wide_beside_a_flood(sequences)
    busy: list[Entry] = []
    while running:
        for _ in range(3):
            fair.offer(ticket("quiet"), 0.0)
        while (entry := fair.take(0.0)) not in (None, wide):
            busy.append(taken(entry))
        if entry is wide:
            break
        assert len(busy) == 2
        fair.leave(running.pop(), 0.0, 1)
        fair.leave(busy.pop(0), 0.0, 1)
    else:
        assert fair.take(0.0) is wide
    assert len(running) == max(0, 8 - sequences)
    assert fair.sequences == sequences + len(running) + len(busy)


def test_each_sequence_gives_its_place_back_as_it_ends() -> None:
    fair = queue(sequences=4)
    wide = taken(fair.offer(ticket(sequences=4), 0.0))
    waiting = [taken(fair.offer(ticket("b"), 0.0)) for _ in range(5)]
    for entry in waiting[:3]:
        assert fair.take(0.0) is None
        fair.finished(wide)
        assert fair.take(0.0) is entry
        fair.prefilled(entry, entry.prefill)
    fair.finished(wide)
    assert fair.take(0.0) is None, "the last one's is given back by its end"
    fair.leave(wide, 0.0, 400)
    assert fair.take(0.0) is waiting[3]
    assert fair.sequences == 4


def test_one_tenant_cannot_fill_the_queue() -> None:
    fair = queue(max_requests=90, max_tokens=PLENTY)
    refusals = [each for each in flood(fair, 200, "greedy") if isinstance(each, Refusal)]
    assert fair.waiting.requests == 30
    assert {each.reason for each in refusals} == {Reason.TENANT_QUEUE}
    assert taken(fair.offer(ticket("modest"), 0.0)).state is State.WAITING


def test_many_floods_leave_room_for_a_newcomer() -> None:
    fair = queue(max_requests=100, max_tokens=PLENTY)
    for _ in range(50):
        for tenant in "abcdefgh":
            fair.offer(ticket(tenant), 0.0)
    assert fair.waiting.requests <= 80
    assert all(isinstance(each, Entry) for each in flood(fair, 3, "newcomer"))


def test_a_full_service_is_not_the_newcomers_fault() -> None:
    fair = queue(max_requests=8, max_tokens=PLENTY)
    for number in range(9):
        taken(fair.offer(ticket(f"tenant {number}"), 0.0))
    refusal = refused(fair.offer(ticket("newcomer"), 0.0))
    assert refusal.reason is Reason.QUEUE_FULL
    assert not refusal.reason.by_tenant


def test_a_request_larger_than_the_queue_waits_alone() -> None:
    fair = queue(max_tokens=1000)
    taken(fair.offer(ticket(), 0.0))
    assert taken(fair.offer(ticket("b", prompt=50_000), 0.0)).state is State.WAITING
    assert refused(fair.offer(ticket("c"), 0.0)).reason is Reason.QUEUE_FULL


def test_a_key_has_so_many_in_progress_and_no_more() -> None:
    fair = queue(sequences=2)
    mine = [taken(each) for each in flood(fair, 3, key_limit=3)]
    refusal = refused(fair.offer(ticket(key_limit=3), 0.0))
    assert refusal.reason is Reason.KEY_CONCURRENCY
    taken(fair.offer(ticket(key="another", key_limit=3), 0.0))
    soon = refusal.retry_after_s - 1.0
    fair.leave(mine[2], soon)
    assert refused(fair.offer(ticket(key_limit=3), soon)).retry_after_s > 1, "who was promised the place finds it"


def test_a_deadline_that_cannot_be_met_is_refused_at_once() -> None:
    fair = queue(max_tokens=PLENTY)
    running = taken(fair.offer(ticket(), 0.0))
    fair.leave(running, 10.0, 100)
    taken(fair.offer(ticket(), 10.0))
    for _ in range(5):
        taken(fair.offer(ticket(), 10.0))
    refusal = refused(fair.offer(ticket(deadline=15.0), 10.0))
    assert refusal.reason is Reason.DEADLINE_UNREACHABLE
    assert taken(fair.offer(ticket(deadline=500.0), 10.0)).state is State.WAITING


def test_who_comes_after_its_deadline_is_refused_even_by_an_idle_service() -> None:
    fair = queue()
    refusal = refused(fair.offer(ticket(deadline=9.0), 10.0))
    assert refusal.reason is Reason.DEADLINE_EXPIRED
    assert fair.status(10.0).running == fair.status(10.0).waiting == 0


def test_who_waits_past_the_deadline_is_refused() -> None:
    fair = queue()
    taken(fair.offer(ticket(), 0.0))
    late, patient = (taken(fair.offer(ticket(tenant, deadline=at), 0.0)) for tenant, at in (("b", 2.0), ("c", 9.0)))
    assert fair.next_deadline() == 2.0
    assert fair.expire(1.9) == []
    ((entry, refusal),) = fair.expire(2.0)
    assert entry is late
    assert late.state is State.ENDED
    assert refusal.reason is Reason.DEADLINE_EXPIRED
    assert fair.next_deadline() == 9.0
    fair.leave(patient, 3.0)
    assert fair.next_deadline() is None


def test_capacity_changes_while_running() -> None:
    fair = queue(sequences=2)
    flood(fair, 6)
    fair.set_capacity(Capacity(4, PLENTY))
    assert [fair.take(0.0) is not None for _ in range(3)] == [True, True, False]
    fair.set_capacity(Capacity(0, 0))
    assert fair.take(0.0) is None
    assert fair.sequences == 4


def test_the_status_tells_who_waits_without_names() -> None:
    fair = queue()
    fair.offer(ticket(), 0.0)
    fair.offer(ticket("b", tier="gold"), 1.0)
    fair.offer(ticket("c", tier="gold", priority=Priority.BATCH), 2.0)
    status = fair.status(5.0)
    assert (status.waiting, status.running, status.oldest_s) == (2, 1, 4.0)
    assert status.by_class["batch"].oldest_s == 3.0
    assert status.waiting_by_tier == {"gold": 2}
    assert "b" not in str(status).split("'")


def test_promises_that_nobody_keeps_leave_even_their_own_tenant_one_place() -> None:
    """Its other keys are not shut out while the queue is empty."""
    fair = queue(sequences=50, max_requests=8)
    flood(fair, 50, "busy")
    told = [refused(outcome).retry_after_s for outcome in flood(fair, 200) if isinstance(outcome, Refusal)]
    then = float(sorted(told)[len(told) // 2])
    for entry in [entry for entry in fair._keys.in_progress("a") if entry.state is State.WAITING]:
        fair.leave(entry, then)
    taken(fair.offer(ticket("quiet"), then))
    assert taken(fair.offer(ticket("a", key="other"), then)).state is State.WAITING


def test_a_promise_that_was_kept_is_forgotten_though_none_follows() -> None:
    fair = queue(sequences=0)
    fair.offer(ticket(deadline=1.0), 0.0)
    ((_, refusal),) = fair.expire(1.0)
    taken(fair.offer(ticket(), 1.0 + refusal.retry_after_s))
    taken(fair.offer(ticket("b"), 100.0))
    assert fair._room.promises._events == []

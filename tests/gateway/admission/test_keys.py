"""Who comes back when told to a key that is full: held, in order, bounded, and given up like whoever else waits."""

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.room import HELD
from gateway.admission.ticket import Capacity, Policy, Reason, Refusal
from tests.gateway.admission.test_fair_queue import PLENTY, flood, queue, refused, taken, ticket


def told_to_come_back(fair: FairQueue, number: int, deadline: float | None = None) -> list[Entry | Refusal]:
    """Of a key that may have one in progress and has: so many are refused, and come back when told, within two minutes."""
    told = [refused(each).retry_after_s for each in flood(fair, number, key_limit=1)]
    assert max(told) < 120
    return [fair.offer(ticket(key_limit=1, deadline=deadline), float(at)) for at in told]


def test_those_of_a_full_key_who_come_back_when_told_are_held_in_their_order_and_run_one_at_a_time() -> None:
    fair = queue(sequences=9)
    running = taken(fair.offer(ticket(key_limit=1), 0.0))
    back = [taken(each) for each in told_to_come_back(fair, 3)]
    assert [entry.state for entry in back] == [State.HELD] * 3
    assert (fair.status(120.0).waiting, fair.status(120.0).held) == (0, 3)
    assert refused(fair.offer(ticket(key_limit=1), 120.0)).reason is Reason.KEY_CONCURRENCY, "nobody new passes them"
    assert fair.take(120.0) is None
    for entry in back:
        assert fair.leave(running, 120.0, 10)
        running = fair.take(120.0) or running
        assert running is entry
        assert fair.take(120.0) is None
    assert fair.status(120.0).waiting == 0


def test_no_more_of_a_key_are_held_than_a_few() -> None:
    fair = queue(sequences=9)
    taken(fair.offer(ticket(key_limit=1), 0.0))
    back = told_to_come_back(fair, HELD + 3)
    assert [isinstance(each, Entry) for each in back] == [True] * HELD + [False] * 3


def test_what_is_held_does_not_count_as_being_served_nor_as_waiting_for_an_engine() -> None:
    """Or the wait for a key would grow by itself, and autoscaling and alerts hear of a queue that no engine could shorten."""
    fair = queue(sequences=9)
    running = taken(fair.offer(ticket(key_limit=1), 0.0))
    held = [taken(each) for each in told_to_come_back(fair, 3)]
    now = 120.0
    for entry in held:
        assert fair.leave(running, now, 10)
        assert fair.status(now).oldest_s == 0.0
        running = taken(fair.take(now))
        assert running is entry
        assert running.begun - running.placed == 0.0
        now += 1.0
    assert fair.leave(running, now, 10)
    sojourn = running.flow.tenant.sojourn
    assert sojourn is not None
    taken(fair.offer(ticket(key_limit=1), 200.0))
    assert sojourn.value < 120.0, "the first took 120 s, the others 1 s"


def test_who_could_not_begin_in_time_is_not_held_but_told_again() -> None:
    fair = queue(sequences=9)
    taken(fair.offer(ticket(key_limit=1), 0.0))
    (refusal,) = told_to_come_back(fair, 1, deadline=20.0)
    assert refused(refusal).reason is Reason.KEY_CONCURRENCY


def test_a_tenant_whose_keys_are_full_leaves_the_queue_to_others() -> None:
    fair = FairQueue(Policy(max_requests=64, tenant_share=0.5), Capacity(64, PLENTY))
    names = [(tenant, f"{tenant}{n}") for tenant in "ab" for n in range(32)]
    told = []
    for tenant, key in names:
        taken(fair.offer(ticket(tenant, key=key, key_limit=1), 0.0))
        again = [refused(fair.offer(ticket(tenant, key=key, key_limit=1), 0.0)) for _ in range(HELD)]
        told += [(each.retry_after_s, tenant, key) for each in again]
    for at, tenant, key in sorted(told):
        fair.offer(ticket(tenant, key=key, key_limit=1), float(at))
    assert fair.status(200.0).held > 10
    assert isinstance(fair.offer(ticket("quiet"), 200.0), Entry)


def test_who_is_held_may_go_and_is_given_up_at_its_deadline() -> None:
    fair = queue(sequences=9)
    running = taken(fair.offer(ticket(key_limit=1), 0.0))
    first, second, third = (taken(each) for each in told_to_come_back(fair, 3, deadline=500.0))
    assert fair.leave(first, 120.0)
    assert fair.next_deadline() == 500.0
    expired = fair.expire(500.0)
    assert [entry for entry, _ in expired] == [second, third]
    assert {refusal.reason for _, refusal in expired} == {Reason.KEY_CONCURRENCY}, "it is its key that was full"
    assert fair.next_deadline() is None
    assert fair.leave(running, 501.0, 10)
    assert taken(fair.offer(ticket(key_limit=1), 501.0)).state is State.RUNNING


def test_what_is_held_counts_towards_its_tenants_part_of_the_queue() -> None:
    fair = FairQueue(Policy(max_tokens=2000, tenant_share=0.5, reserve=0.0), Capacity(9, 10**6))
    taken(fair.offer(ticket(key_limit=1), 0.0))
    back = told_to_come_back(fair, 6)
    assert [isinstance(each, Entry) for each in back] == [True] * 3 + [False] * 3
    assert {refused(each).reason for each in back[3:]} == {Reason.TENANT_QUEUE}

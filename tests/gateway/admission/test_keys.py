"""Who comes back when told to a key that is full: held, in order, bounded, and given up like whoever else waits."""

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.room import HELD
from gateway.admission.ticket import Capacity, Policy, Reason, Refusal
from tests.gateway.admission.test_fair_queue import flood, queue, refused, taken, ticket


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


def test_who_is_held_may_go_and_is_given_up_at_its_deadline() -> None:
    fair = queue(sequences=9)
    running = taken(fair.offer(ticket(key_limit=1), 0.0))
    first, second, third = (taken(each) for each in told_to_come_back(fair, 3, deadline=500.0))
    assert fair.leave(first, 120.0)
    assert fair.next_deadline() == 500.0
    assert [entry for entry, _ in fair.expire(500.0)] == [second, third]
    assert fair.next_deadline() is None
    assert fair.leave(running, 501.0, 10)
    assert taken(fair.offer(ticket(key_limit=1), 501.0)).state is State.RUNNING


def test_what_is_held_counts_towards_its_tenants_part_of_the_queue() -> None:
    fair = FairQueue(Policy(max_tokens=2000, tenant_share=0.5, reserve=0.0), Capacity(9, 10**6))
    taken(fair.offer(ticket(key_limit=1), 0.0))
    back = told_to_come_back(fair, 6)
    assert [isinstance(each, Entry) for each in back] == [True] * 5 + [False]
    assert {refused(each).reason for each in back[5:]} == {Reason.TENANT_QUEUE}

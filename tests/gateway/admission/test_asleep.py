"""Deadlines while no engine is there: the service's own does not run, the client's does."""

import pytest

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.ticket import Capacity, Policy, Ticket

NOBODY, ONE = Capacity(0, 0), Capacity(1, 10**6)


def asleep(wake_s: float = 600.0) -> FairQueue:
    return FairQueue(Policy(reserve=0.0, tenant_share=1.0, wake_s=wake_s), NOBODY)


def waiting(fair: FairQueue, now: float, *, by_default: bool) -> Entry:
    entry = fair.offer(Ticket("a", "a", 10, 10, deadline=now + 60, by_default=by_default), now)
    assert isinstance(entry, Entry)
    assert entry.state is State.WAITING
    return entry


def test_a_request_outlives_the_default_deadline_while_the_first_engine_starts_and_then_has_all_of_it():
    fair = asleep()
    first, second = waiting(fair, 0.0, by_default=True), waiting(fair, 30.0, by_default=True)
    for now in range(61, 120):
        assert fair.expire(float(now)) == []
    fair.set_capacity(ONE, 120.0)
    assert fair.expire(121.0) == []
    assert fair.take(121.0) is first
    assert fair.expire(179.0) == []
    [(entry, _)] = fair.expire(180.0)
    assert entry is second


def test_one_that_came_when_the_engine_was_there_already_has_its_deadline_as_it_is():
    fair = asleep()
    fair.set_capacity(ONE, 5.0)
    fair.offer(Ticket("a", "a", 10, 10), 6.0)
    late = waiting(fair, 10.0, by_default=True)
    assert [entry for entry, _ in fair.expire(70.0)] == [late]


@pytest.mark.parametrize(("by_default", "until"), [(False, 60.0), (True, 60.0 + 100.0)])
def test_a_clients_own_deadline_holds_and_the_services_waits_no_longer_than_allowed(by_default, until):
    fair = asleep(wake_s=100.0)
    entry = waiting(fair, 0.0, by_default=by_default)
    assert fair.expire(until - 1) == []
    assert [each for each, _ in fair.expire(until)] == [entry]


def test_where_no_model_may_sleep_nothing_is_extended():
    fair = asleep(wake_s=0.0)
    entry = waiting(fair, 0.0, by_default=True)
    assert [each for each, _ in fair.expire(60.0)] == [entry]

"""Retry-After, replayed: refused clients come back when told to, against everyone else's arrivals, and must get a permit then."""

from dataclasses import replace

import pytest

from gateway.admission.ticket import Refusal
from loadtests.simulation.admission_loads import LOADS, POLICY, identical, tenants, varied
from loadtests.simulation.admission_service import Client, Service, poisson

SEEDS = range(3)


class Deaf(Service):
    """Clients that are refused do not come back when told to: theirs are promises that nobody keeps."""

    def _refused(self, client: Client, refusal: Refusal) -> None:
        client.refusals.append(refusal)


@pytest.mark.parametrize("load", LOADS)
def test_waiting_that_long_gets_in(load: str) -> None:
    promised = honest = 0
    for seed in SEEDS:
        service = Service(POLICY, seed=seed)
        clients = LOADS[load](seed)
        service.run(clients)
        assert all(client.ended_at is not None for client in clients)
        promised += service.promised
        honest += service.honest
    assert promised > 100
    assert honest >= 0.9 * promised, f"{honest} of {promised}"


def test_identical_requests_do_not_take_each_others_place_if_they_tell_their_attempt() -> None:
    service = Service(POLICY, tells_attempt=True)
    service.run(identical())
    assert service.promised > 100
    assert service.honest >= 0.95 * service.promised


def test_those_refused_together_are_spread() -> None:
    service = Service(POLICY)
    clients = [Client("a", 0.0, 300 + n, 150) for n in range(200)]
    service.run(clients)
    told = [client.refusals[0].retry_after_s for client in clients if client.refusals]
    assert len(told) > 100
    assert max(told.count(second) for second in set(told)) <= 8
    assert told == sorted(told)


def test_honesty_is_not_bought_with_idle_engines() -> None:
    """While the load lasts, the sequences are busy but for the reserve."""
    service = Service(POLICY)
    service.run(tenants(4, 2.5, 0), until=60.0)
    assert service.busy >= 0.88 * service.sequences * 60.0


def test_beside_a_flood_a_tenant_within_its_share_starts_at_once_thanks_to_the_reserve() -> None:
    def waits(reserve: float) -> list[float]:
        service = Service(replace(POLICY, reserve=reserve), sequences=64)
        modest = poisson("modest", 4.0, 5, 60, 1, varied)
        service.run([*modest, *poisson("noisy", 80, 0, 60, 1, varied)])
        assert not any(client.refusals for client in modest)
        return sorted(client.started_at - client.at for client in modest if client.started_at is not None)

    without, reserved = waits(0.0), waits(1 / 16)
    p99 = int(0.99 * len(reserved))
    assert len(reserved) > 150
    assert reserved[p99] == 0.0
    assert without[p99] > 0.2


@pytest.mark.parametrize(("requests", "rate"), [(32, 2.0), (64, 2.0), (32, 0.5)])
def test_promises_to_a_flood_that_never_comes_back_cost_others_no_room(requests: int, rate: float) -> None:
    service = Deaf(replace(POLICY, max_requests=requests))
    quiet = poisson("quiet", rate, 5, 30, 3, varied)
    service.run([*poisson("noisy", 300, 0, 30, 2, varied), *quiet], until=30.0)
    assert service.queue.status(30.0).promised > 300
    assert service.queue.waiting.requests < requests / 2
    assert not [client for client in quiet if client.refusals]

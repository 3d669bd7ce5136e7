"""A decision is cheap. The promise is 50 µs on an idle machine; the test leaves room for a busy one."""

import pytest

from loadtests.simulation.routing_cost import measure


@pytest.mark.parametrize("session", [False, True])
def test_a_decision_of_4k_tokens_among_32_replicas_is_cheap(session):
    best = min((measure(300, session=session) for _ in range(3)), key=lambda cost: cost.decision_p50)
    assert best.hashing_p50 < best.decision_p50 < 150
    assert best.dispatched_p50 < 50

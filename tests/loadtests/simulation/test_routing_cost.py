"""A decision is cheap. The promise is 50 µs on an idle machine; the test leaves room for a busy one."""

import pytest

from loadtests.simulation.routing_cost import measure


@pytest.mark.parametrize("session", [False, True])
def test_a_decision_of_4k_tokens_among_32_replicas_is_cheap(session):
    cost = measure(200, 4, session=session)
    assert cost.hashing_p50 < cost.decision_p50 < 150

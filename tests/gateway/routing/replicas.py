"""Hypothesis strategies of replicas and requests."""

import math

from hypothesis import strategies as st

from gateway.routing.replica import Replica, Request

tokens = st.integers(0, 100_000)
loads = st.fixed_dictionaries(
    {
        "requests": st.integers(0, 300),
        "prefill_tokens": tokens,
        "decode_tokens": tokens,
        "max_requests": st.integers(1, 512),
        "kv_tokens": st.sampled_from([0, 1 << 14, 1 << 20]),
        "kv_room": st.floats(0, 1 << 20) | st.just(math.inf),
        "slowness": st.floats(1, 50),
    }
)
states = st.fixed_dictionaries(
    {
        "reported_at": st.floats(90, 100),
    }
)


def fleets(states=states, smallest: int = 1):
    """Lists of replicas engine-0, engine-1, ... in any state and under any load."""
    return st.lists(st.tuples(loads, states), min_size=smallest, max_size=32).map(
        lambda drawn: [Replica(f"engine-{i}", **load, **state) for i, (load, state) in enumerate(drawn)]
    )


requests = st.builds(
    Request,
    blocks=st.lists(st.integers(0, 50), max_size=8, unique=True),
    prompt_tokens=st.integers(0, 10_000),
    completion_tokens=st.floats(0, 5000),
    session=st.none() | st.integers(0, 2**64 - 1),
)

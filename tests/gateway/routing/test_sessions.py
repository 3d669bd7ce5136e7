"""Rendezvous hashing."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.sessions import engine_hash, home, session_hash

ENGINES = np.array([engine_hash(f"engine-{i}") for i in range(8)], np.uint64)
SESSIONS = [session_hash("salt", f"session {i}") for i in range(8000)]


def test_sessions_are_spread_evenly():
    homes = Counter(home(session, ENGINES) for session in SESSIONS)
    assert max(homes.values()) < 1.15 * 1000
    assert min(homes.values()) > 0.85 * 1000


@given(st.integers(0, 7), st.integers(0, 7999), st.randoms())
def test_only_sessions_of_a_replica_that_left_move_and_the_order_of_replicas_is_nothing_to_them(gone, number, rng):
    session = SESSIONS[number]
    before = ENGINES[home(session, ENGINES)]
    kept = [engine for index, engine in enumerate(ENGINES) if index != gone]
    rng.shuffle(kept)
    left = np.array(kept, np.uint64)
    after = left[home(session, left)]
    assert after == before or before == ENGINES[gone]


def test_the_same_session_name_of_another_tenant_has_another_home():
    homes = [home(session_hash(f"salt {tenant}", "session"), ENGINES) for tenant in range(100)]
    assert len(set(homes)) == 8

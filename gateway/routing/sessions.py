"""Session affinity: every gateway sends a session to the same replica, without asking another.

Rendezvous hashing: the session goes to the replica with the highest draw for the pair. When a replica leaves, only its own
sessions move; when one joins, it takes an equal part of everybody's.
"""

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

TRUST = 0.5
"""Share of the prompt that a session's replica is taken to hold where this gateway's index knows of less: most of a later turn is
the earlier ones, a first turn has nothing. It is weighed like any other hit, so that a session leaves an overloaded replica."""

_ODD = np.uint64(0x9E3779B97F4A7C15)


def session_hash(salt: str, session: str) -> int:
    """64 bits under the tenant's salt (the same at all gateways): nobody can aim a session at a replica or at another tenant's."""
    return int.from_bytes(blake2b(session.encode(), key=salt.encode()[:64], digest_size=8).digest())


def engine_hash(engine_id: str) -> int:
    return int.from_bytes(blake2b(engine_id.encode(), digest_size=8).digest())


def home(session: int, engines: npt.NDArray[np.uint64]) -> int:
    """Index of the session's replica among these engine hashes. Raises ValueError when there is none."""
    return int(((engines ^ np.uint64(session)) * _ODD).argmax())

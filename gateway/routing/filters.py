"""Who may take a request at all.

That a replica serves the model needs no filter: a pool, and so a router, belongs to one model.
"""

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from gateway.routing.replica import Circuit, Replica


def able(replicas: Sequence[Replica], exclude: AbstractSet[str], reported_since: float) -> tuple[list[Replica], bool]:
    """Those that are up, not draining, not excluded, with a circuit that is closed, or half open while nothing tries it, and with
    recent statistics. If nobody's are recent, those with old ones, and True: old figures are better than no answer.
    """
    recent = _able(replicas, exclude, reported_since)
    if recent:
        return recent, False
    rest = _able(replicas, exclude, -math.inf)
    return rest, bool(rest)


def _able(replicas: Sequence[Replica], exclude: AbstractSet[str], reported_since: float) -> list[Replica]:
    closed, opened = Circuit.CLOSED, Circuit.OPEN
    return [
        replica
        for replica in replicas
        if replica.up
        and not replica.draining
        and ((circuit := replica.circuit) is closed or (circuit is not opened and not replica.own_requests))
        and replica.reported_at >= reported_since
        and replica.engine_id not in exclude
    ]

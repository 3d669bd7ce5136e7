"""Who is considered, of those that may be given work at all.

Who may is the pool's to know (`EnginePool.candidates`): connected, listed, not leaving, with a breaker that lets it through, and
not tried for this attempt yet. That a replica serves the model needs no filter: a pool, and so a router, belongs to one model.
"""

from collections.abc import Sequence

from gateway.routing.replica import Replica


def considered(replicas: Sequence[Replica], reported_since: float) -> tuple[Sequence[Replica], bool]:
    """Those with recent statistics. If nobody's are recent, all, and True: old figures are better than no answer."""
    recent = [replica for replica in replicas if replica.reported_at >= reported_since]
    if recent and len(recent) < len(replicas):
        return recent, False
    return replicas, bool(replicas) and not recent

"""When a refused client may come back: backlog ahead of it, promises included, over the rate at which that backlog drains.

seconds = SAFETY · (tokens ahead that must be gone first) / (drain rate · the part of it that is due to the flow) + SLACK_S

A tenant's own bound frees at the tenant's share of the drain, the queue as a whole at all of it. Told times are whole
seconds, rounded up, at least 1 and at most the policy's `retry_max_s`; beyond that nothing is promised.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.fair_order import FairOrder
    from gateway.admission.ledger import Class, Entry, Flow

SAFETY = 1.2
SLACK_S = 0.5


def part(flow: Flow, classes: FairOrder[Class]) -> float:
    """The flow's part of the drain while all that wait go on waiting, itself included; in (0, 1]."""
    of = flow.of
    flows = of.flows.weight + (0.0 if flow in of.flows else flow.weight)
    among = classes.weight + (0.0 if of in classes else of.weight)
    return (flow.weight / flows) * (of.weight / among)


def told(seconds: float, most: int) -> int:
    return int(min(max(1, math.ceil(SAFETY * seconds + SLACK_S)), most))


def key_frees(in_progress: Mapping[Entry, None], sojourn: float, ahead: int, now: float) -> float:
    """Seconds until a key's in-flight requests leave a place for the one after `ahead` others, held ones and promised ones.

    As if lengths were all alike (the oldest ones' rest), or as if they had no memory, whichever is later. Who finds no place
    free then is held for a moment (keys.py).
    """
    limit = len(in_progress)
    rounds, nth = divmod(ahead, limit)
    oldest = next(islice(in_progress, nth, None))
    alike = sojourn * (rounds + 1) - (now - oldest.placed)
    return max(alike, sojourn * (ahead + 1) / limit)

"""What a request would cost on a replica, in tokens of work: one unit, so that load and cache hits can be weighed.

    cost = slowness · (wait + WORK_WEIGHT · price · (uncached prompt tokens + expected completion tokens))

`wait` is what stands before the request there. The bracket is the work that it brings, which delays itself and all who come
after it. `price` is how much more than its share the replica was given lately (recent_work.py).

Where nobody waits and shares are equal, the longest cached prefix wins. A hit of few tokens is given up for a small
imbalance, a long one only for a large one, and any for a queue WORK_WEIGHT times as long as what it saves.
"""

from collections.abc import Sequence

from gateway.routing.recent_work import Shares
from gateway.routing.replica import Replica, Request

WORK_WEIGHT = 8.0
"""A token of work delays its own request, and all that come until the queue next runs empty: 1/(1-utilisation) requests, 8 at
seven eighths, where it matters. docs/decisions/0008-routing.md has the measurement: less loses hits, more loses time."""

DECODE_WEIGHT = 1 / 16
"""What one outstanding decode token adds to the wait of a new request, in prefill tokens. Decoding hardly delays another's
start: it takes one of some thousand places of each step's token budget, yet steps grow longer with the batch."""


def costs(replicas: Sequence[Replica], request: Request, brought: Sequence[float], shares: Shares) -> list[float]:
    """One for each replica; in the same order the tokens of work `brought` there, and the `shares`. The wait is the replica's
    backlog, a sequence slot where the batch is full, room in the KV cache where that is.
    """
    prompt, result = float(request.prompt_tokens), []
    decode_weight, more, rate = DECODE_WEIGHT, shares.more, WORK_WEIGHT * shares.rate
    for replica, work, load in zip(replicas, brought, shares.loads, strict=True):
        prefill = replica.prefill_tokens
        cost = prefill + decode_weight * replica.decode_tokens + rate * (load + more) * work
        if replica.requests >= replica.max_requests:
            cost += _slot(replica)
        short = prefill + prompt - replica.kv_room
        # An engine without room preempts, and computes again what it preempted.
        if short > 0.0:
            cost += short
        result.append(cost * replica.slowness)
    return result


def _slot(replica: Replica) -> float:
    """A full batch of m makes m tokens a step and frees q slots in about q/m of a request's remaining r steps: after q·r tokens."""
    queued = replica.requests + 1 - replica.max_requests
    return queued * replica.decode_tokens / max(1, replica.requests)

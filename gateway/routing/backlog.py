"""Least backlog: the replica with the least work queued, in tokens.

backlog = prompt tokens not yet prefilled + DECODE_WEIGHT · requests in flight. A running request costs a decode slot at every
step but hardly delays another's start, while waiting prompt tokens delay it in proportion; the weight prices one against the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

DECODE_WEIGHT = 16


class Backlog(NamedTuple):
    """What one replica has to do. `own` is what this gateway sent it (exact), `reported` the replica's word (≤ 1 s old)."""

    own_requests: int
    own_prefill_tokens: int
    reported_requests: int
    reported_prefill_tokens: int

    @property
    def tokens(self) -> int:
        requests = max(self.own_requests, self.reported_requests)
        prefill = max(self.own_prefill_tokens, self.reported_prefill_tokens)
        return prefill + DECODE_WEIGHT * requests


def least_backlog(candidates: Sequence[Backlog], turn: int) -> int:
    """Index of the least loaded candidate; ties are taken in turn. Raises ValueError when there is none."""
    least = min(candidate.tokens for candidate in candidates)
    ties = [index for index, candidate in enumerate(candidates) if candidate.tokens == least]
    return ties[turn % len(ties)]

"""What the router reads and what it answers: one Replica per engine, one Request, one Choice."""

import math
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True, eq=False)
class Replica:
    """An engine as one gateway knows it. Tokens are counts, times are seconds on the caller's monotonic clock.

    The caller keeps one per engine and updates it in place; a decision only reads it. (32 fresh snapshots would cost as much as
    the decision.) `requests`, and `prefill_tokens` of prompts not yet prefilled, are what this gateway sent there, which it knows
    exactly, and `others_*`: the rest of the last report, which is the reported figure less the own one at the time of it, at least
    0. So a request is counted once, and what was sent since the report is not lost in it. Counts of a type with what they are
    weighed against, floats, make a decision among many a twentieth cheaper.
    """

    engine_id: str
    reported_at: float = 0.0
    """Never goes back."""
    requests: float = 0.0
    others_requests: float = 0.0
    prefill_tokens: float = 0.0
    others_prefill_tokens: float = 0.0
    decode_tokens: float = 0.0
    """Tokens that all requests in flight are still expected to generate."""
    max_requests: float = 256.0
    """How many sequences run at once; more wait."""
    kv_tokens: int = 0
    """Size of the KV cache; 0 if unknown."""
    kv_room: float = math.inf
    """Tokens that running requests leave of it, as reported; infinite if unknown."""
    slowness: float = 1.0
    """How many times slower than its peers per token of work; 1 is normal."""


class Request(NamedTuple):
    """`blocks` are the prompt's chained block hashes (PromptHasher) and `session` a salted hash (sessions.py), so that nothing
    here is a prompt or an identity. `completion_tokens` is what it is expected to generate.
    """

    blocks: list[int]
    prompt_tokens: int
    completion_tokens: float = 0.0
    session: int | None = None


@dataclass(slots=True)
class Choice:
    """`index` into the replicas that were offered, and why. `held_blocks` is what the prefix index believes to be cached there,
    `hit_tokens` that in tokens, or what is hoped for at a session's home. `backlog_tokens` wait there to be prefilled; `price`
    is recent_work.py's.
    """

    index: int
    engine_id: str
    held_blocks: int
    hit_tokens: int
    prompt_tokens: int
    backlog_tokens: int
    price: float
    candidates: int
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """For a debug header or a span: load figures and the tenant's own prefix share, nothing about other tenants' prompts."""
        share = self.hit_tokens / self.prompt_tokens if self.prompt_tokens else 0.0
        parts = [
            f"engine={self.engine_id}",
            f"prefix={share:.2f}",
            f"backlog={self.backlog_tokens}",
            f"price={self.price:.2f}",
            f"of={self.candidates}",
        ]
        return ";".join([*parts, *self.notes])

"""What an operator sees of a queue: plain numbers, no names of tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClassStatus(NamedTuple):
    requests: int
    tokens: int
    oldest_s: float


class Status(NamedTuple):
    """`waiting_by_tier` counts tenants with something waiting. `drain_rate` is in tokens of charged work per second. `promised`
    have been told when to come back; `held` have, and wait for a place of their key.
    """

    waiting: int
    waiting_tokens: int
    oldest_s: float
    by_class: Mapping[str, ClassStatus]
    waiting_by_tier: Mapping[str, int]
    running: int
    running_sequences: int
    prefill_tokens: int
    sequences_limit: int
    prefill_limit: int
    drain_rate: float
    promised: int
    held: int

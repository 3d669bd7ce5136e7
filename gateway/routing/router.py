"""Filters → scorers → picker: which replica gets a request. No I/O; time and randomness are handed in."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gateway.routing.filters import considered
from gateway.routing.picker import pick
from gateway.routing.prefix_index import PrefixIndex
from gateway.routing.prompt_hash import BLOCK_TOKENS
from gateway.routing.recent_work import RecentWork
from gateway.routing.replica import Choice, Replica, Request
from gateway.routing.scorers import costs
from gateway.routing.sessions import TRUST, engine_hash, home

STALE_S = 3.0
"""Three missed reports of one second."""
UNKNOWN_KV_TOKENS = 1 << 20


class Ticket(NamedTuple):
    """A dispatched request, until its first output tells how much of its prompt was cached. `uncached_tokens` is what its prefill
    is expected to cost.
    """

    engine_id: str
    uncached_tokens: int
    blocks: list[int]
    believed: int
    before: int


class Router:
    """Of one model at one gateway. `route` changes nothing but the random generator; the other methods tell what became of it."""

    def __init__(
        self,
        index: PrefixIndex,
        recent: RecentWork,
        rng: random.Random,
        block_tokens: int = BLOCK_TOKENS,
        stale_s: float = STALE_S,
    ) -> None:
        """`block_tokens` is the hasher's, and should be a multiple of the engines' own block size."""
        self._index = index
        self._recent = recent
        self._rng = rng
        self._block_tokens = block_tokens
        self._stale_s = stale_s
        self._engine_hashes: dict[str, int] = {}
        self._offered: Sequence[Replica] = ()
        self._oldest = -math.inf
        self._fleet: Sequence[Replica] = ()
        self._ids: list[str] = []
        self._hashes = np.array([], np.uint64)
        self._places: dict[str, int] = {}
        self._away: list[str] = []

    def joined(self, engine_id: str, kv_tokens: int = 0) -> None:
        """An engine is there, with an empty cache of `kv_tokens` (0: unknown). One that is known already keeps what it has."""
        if engine_id not in self._engine_hashes:
            self._engine_hashes[engine_id] = engine_hash(engine_id)
            self._recent.join(engine_id)
            self._index.add(engine_id, max(1, (kv_tokens or UNKNOWN_KV_TOKENS) // self._block_tokens))

    def left(self, engine_id: str) -> None:
        """An engine is gone for good, and its cache with it."""
        if self._engine_hashes.pop(engine_id, None) is not None:
            self._index.remove(engine_id)
            self._recent.leave(engine_id)
            self._away = [each for each in self._away if each != engine_id]

    def route(self, request: Request, replicas: Sequence[Replica], now: float) -> Choice | None:
        """The cheapest replica, ties at random; None if nobody may take the request. Raises KeyError for one that never joined."""
        offered, stale = self._considered(replicas, now - self._stale_s)
        if not offered:
            return None
        if offered != self._fleet:
            self._fleet, self._ids = list(offered), [replica.engine_id for replica in offered]
            self._hashes = np.array([self._engine_hashes[engine_id] for engine_id in self._ids], np.uint64)
            self._places = {engine_id: place for place, engine_id in enumerate(self._ids)}
            self._away = [each for each in self._engine_hashes if each not in self._places]
        ids = self._ids
        common, deeper = self._index.match(request.blocks)
        work = request.prompt_tokens + request.completion_tokens
        brought = [work - self._block_tokens * common] * len(ids)
        for engine_id, blocks in deeper.items():
            if (place := self._places.get(engine_id)) is not None:
                brought[place] = work - self._block_tokens * blocks
        at_home = -1
        if request.session is not None:
            at_home = home(request.session, self._hashes)
            brought[at_home] = min(brought[at_home], work - int(TRUST * request.prompt_tokens))
        shares = self._recent.shares(ids, work, now)
        at = pick(costs(offered, request, brought, shares), self._rng)
        chosen, engine_id = offered[at], ids[at]
        index = at if offered is replicas else replicas.index(chosen)
        held, hit = deeper.get(engine_id, common), round(work - brought[at])
        notes = ("session",) if at == at_home else ()
        notes = (*notes, "stale") if stale else notes
        backlog = round(chosen.prefill_tokens)
        # By position: names would be a hundredth of the decision.
        return Choice(index, engine_id, held, hit, request.prompt_tokens, backlog, shares.price(at), len(ids), notes)

    def _considered(self, replicas: Sequence[Replica], since: float) -> tuple[Sequence[Replica], bool]:
        """Reports only come later than those before: while the oldest known is recent, all are."""
        if self._oldest < since or replicas != self._offered:
            self._offered = list(replicas)
            self._oldest = min((replica.reported_at for replica in replicas), default=-math.inf)
        return (replicas, False) if self._oldest >= since else considered(replicas, since)

    def dispatched(self, request: Request, choice: Choice, now: float) -> Ticket:
        """The request is being sent to the chosen replica."""
        uncached = request.prompt_tokens - choice.hit_tokens
        self._recent.add(choice.engine_id, uncached + request.completion_tokens, now, self._away)
        before = self._index.record(choice.engine_id, request.blocks)
        return Ticket(choice.engine_id, uncached, request.blocks, choice.held_blocks, before)

    def started(self, ticket: Ticket, cached_tokens: int) -> None:
        """Its first output came, with the engine's count of prompt tokens that were in its cache."""
        found = cached_tokens // self._block_tokens
        self._index.correct(ticket.engine_id, ticket.blocks, ticket.believed, found, ticket.before)

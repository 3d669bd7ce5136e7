"""The policies that are compared, behind one interface. Each sees what a gateway sees, and nothing of the engines' insides."""

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.routing.picker import pick
from gateway.routing.prefix_index import PrefixIndex
from gateway.routing.recent_work import RecentWork
from gateway.routing.replica import Replica, Request
from gateway.routing.router import Router, Ticket
from loadtests.simulation.mooncake import BLOCK_TOKENS

RUNNING_TOKENS = 16
"""What a running request weighs beside a waiting prompt token."""


class Policy(Protocol):
    """One gateway's way to choose."""

    def choose(self, request: Request, replicas: Sequence[Replica], now: float) -> tuple[int, Ticket | None]: ...
    def started(self, ticket: Ticket, cached_tokens: int) -> None: ...


class _Deaf:
    """A policy that learns nothing from what became of its choices."""

    def started(self, ticket: Ticket, cached_tokens: int) -> None: ...


class RoundRobin(_Deaf):
    def __init__(self, _replicas: Sequence[Replica], _rng: random.Random) -> None:
        self._turn = -1

    def choose(self, _request: Request, replicas: Sequence[Replica], _now: float) -> tuple[int, Ticket | None]:
        self._turn += 1
        return self._turn % len(replicas), None


class LeastLoaded(_Deaf):
    """Fewest prompt tokens waiting and requests running, ties at random."""

    def __init__(self, _replicas: Sequence[Replica], rng: random.Random) -> None:
        self._rng = rng

    def choose(self, _request: Request, replicas: Sequence[Replica], _now: float) -> tuple[int, Ticket | None]:
        loads = [replica.prefill_tokens + RUNNING_TOKENS * replica.requests for replica in replicas]
        return pick(loads, self._rng), None


class LongestPrefix(_Deaf):
    """Where most of the prompt was sent before, whatever the load; ties at random."""

    def __init__(self, replicas: Sequence[Replica], rng: random.Random) -> None:
        self._rng = rng
        self._index = PrefixIndex()
        for replica in replicas:
            self._index.add(replica.engine_id, max(1, replica.kv_tokens // BLOCK_TOKENS))

    def choose(self, request: Request, replicas: Sequence[Replica], _now: float) -> tuple[int, Ticket | None]:
        common, deeper = self._index.match(request.blocks)
        hits = [deeper.get(replica.engine_id, common) for replica in replicas]
        index = pick([-hit for hit in hits], self._rng)
        self._index.record(replicas[index].engine_id, request.blocks)
        return index, None


class Sluice:
    """The gateway's own router."""

    def __init__(self, replicas: Sequence[Replica], rng: random.Random) -> None:
        self._router = Router(PrefixIndex(), RecentWork(), rng, BLOCK_TOKENS)
        for replica in replicas:
            self._router.joined(replica.engine_id, replica.kv_tokens)

    def choose(self, request: Request, replicas: Sequence[Replica], now: float) -> tuple[int, Ticket | None]:
        choice = self._router.route(request, replicas, now)
        assert choice is not None
        return choice.index, self._router.dispatched(request, choice, now)

    def started(self, ticket: Ticket, cached_tokens: int) -> None:
        self._router.started(ticket, cached_tokens)


POLICIES: dict[str, Callable[[Sequence[Replica], random.Random], Policy]] = {
    "round robin": RoundRobin,
    "least loaded": LeastLoaded,
    "longest prefix": LongestPrefix,
    "Sluice": Sluice,
}

"""A simulated service in front of which the queue stands: sequences that take their time, clients that come back when told."""

import heapq
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.ticket import Capacity, Policy, Priority, Refusal, Ticket

PREFILL_TOKENS_PER_S = 20_000.0


@dataclass
class Client:
    """One request of one client; `completion` is what it will really generate."""

    tenant: str
    at: float
    prompt: int
    completion: int
    weight: float = 1.0
    priority: Priority = Priority.STANDARD
    patience_s: float | None = None
    key_limit: int | None = None
    refusals: list[Refusal] = field(default_factory=list)
    offered_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None


@dataclass
class Service:
    """`step_s` is what one token takes when `sequences` run, less with fewer; `lag_s` bounds a client's way back to us."""

    policy: Policy
    sequences: int = 16
    prefill: int = 16_384
    step_s: float = 0.02
    lag_s: float = 0.2
    seed: int = 0
    guess: float = 1.3
    tells_attempt: bool = False
    honest: int = 0
    promised: int = 0
    busy: float = 0.0
    at_start: Callable[[Client], None] = lambda _client: None

    def __post_init__(self) -> None:
        self.queue = FairQueue(
            self.policy, Capacity(math.ceil(self.sequences / (1 - self.policy.reserve)), self.prefill)
        )
        self.now = 0.0
        self._random = random.Random(self.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._turn = count()
        self._clients: dict[Entry, Client] = {}

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._turn), what))

    def run(self, clients: Iterable[Client], until: float = float("inf")) -> None:
        for client in clients:
            self.at(client.at, partial(self._offer, client))
        entry: Entry | None
        while self._events and self._events[0][0] <= until:
            when, _, what = heapq.heappop(self._events)
            self.busy += self.queue.sequences * (when - self.now)
            self.now = when
            what()
            for entry, refusal in self.queue.expire(self.now):
                self._refused(self._clients.pop(entry), refusal)
            while (entry := self.queue.take(self.now)) is not None:
                self._started(entry)

    def _offer(self, client: Client) -> None:
        client.offered_at = self.now
        ticket = Ticket(
            client.tenant,
            client.tenant,
            round(client.prompt * self.guess),
            4 * client.completion,
            priority=client.priority,
            weight=client.weight,
            deadline=None if client.patience_s is None else self.now + client.patience_s,
            key_limit=client.key_limit,
            attempt=len(client.refusals) if self.tells_attempt else None,
        )
        taken = self.queue.offer(ticket, self.now)
        if isinstance(taken, Refusal):
            self._refused(client, taken)
            return
        self._clients[taken] = client
        if taken.ticket.deadline is not None:
            self.at(taken.ticket.deadline, lambda: None)
        if taken.state is State.RUNNING:
            self._started(taken)

    def _refused(self, client: Client, refusal: Refusal) -> None:
        """It comes back when told to, and a little later. Only what was promised an instant counts as a promise."""
        if client.refusals:
            self.promised += client.refusals[-1].retry_after_s < self.policy.retry_max_s
        client.refusals.append(refusal)
        self.at(self.now + refusal.retry_after_s + self._random.uniform(0, self.lag_s), lambda: self._offer(client))

    def _started(self, entry: Entry) -> None:
        client = self._clients[entry]
        client.started_at = self.now
        if client.refusals and client.refusals[-1].retry_after_s < self.policy.retry_max_s:
            self.promised += 1
            self.honest += 1
        self.at_start(client)
        self.queue.counted(entry, client.prompt)
        first = self.now + client.prompt / PREFILL_TOKENS_PER_S + self.step_s
        load = 0.4 + 0.6 * self.queue.sequences / self.sequences
        self.at(first, lambda: self.queue.prefilled(entry, client.prompt))
        self.at(first + client.completion * self.step_s * load, lambda: self._ended(entry))

    def _ended(self, entry: Entry) -> None:
        client = self._clients.pop(entry)
        client.ended_at = self.now
        assert self.queue.leave(entry, self.now, client.completion)


def poisson(
    tenant: str,
    rate: float,
    begin: float,
    end: float,
    seed: int,
    completion: Callable[[random.Random], int],
    **more: object,
) -> list[Client]:
    """Requests per second over an interval; prompts between 50 and 1,500 tokens."""
    dice = random.Random(f"{seed} {tenant}")
    clients, at = [], begin
    while (at := at + dice.expovariate(rate)) < end:
        clients.append(Client(tenant, at, round(dice.uniform(50, 1500)), completion(dice), **more))  # type: ignore[arg-type]
    return clients

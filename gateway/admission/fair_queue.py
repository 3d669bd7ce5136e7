"""The bounded fair queue of one model. Pure: `now` (seconds, monotonic) is an argument, nothing is random, nothing waits.

A request goes one of two ways: `offer` refuses it, with an instant to come back at, or takes it in; then it is waiting,
then running, then ended, and `leave` ends it once, whatever happened. Before it waits it may be held (keys.py).

Order: classes take turns by start-time fair queueing (fair_order.py), tenants take turns within a class, a tenant's
requests are first come, first served. Shares count tokens: charged by estimate at the start, by the exact prompt once
it is known, by the truth at the end. Room to wait and refusals: room.py.

A request of several sequences starts when all of them find a place, and gives each back as it ends. While the first in
order waits for so many, the reserve's tenants may pass it, in as many places as the reserve has: so it waits for what
runs already, and not for whoever else comes.
"""

from __future__ import annotations

import math
from collections import Counter

from gateway.admission.bounds import Amount
from gateway.admission.deadlines import Deadlines
from gateway.admission.demand import Demand
from gateway.admission.drain_rate import DrainRate, SequenceSpeed
from gateway.admission.estimates import FIRST_COMPLETION, Mean, Prompts, completion
from gateway.admission.fair_order import FairOrder
from gateway.admission.kept import Kept
from gateway.admission.keys import Keys
from gateway.admission.ledger import Class, Entry, Flow, State, Tenant, Tenants
from gateway.admission.room import Room
from gateway.admission.status import ClassStatus, Status
from gateway.admission.ticket import Capacity, Policy, Priority, Refusal, Ticket

LEAST_RATE = 1.0
PACE = 1 / 16
"""Of the sequences: so many requests that wait for their first token may a tenant over its share have while others are there."""
STEP = 1 / 8
"""Of the prompt tokens that engines may hold: as many as they prefill in one step, by default."""


class FairQueue:
    def __init__(self, policy: Policy, capacity: Capacity) -> None:
        self.policy = policy
        self.running = Amount()
        self.sequences = 0
        self.prefill = 0
        self._passed = 0
        self._classes: FairOrder[Class] = FairOrder()
        self._by_priority = {priority: Class(priority, weight) for priority, weight in policy.shares.items()}
        self._tenants = Tenants()
        self._keys = Keys()
        self._drain = DrainRate()
        self._speed = SequenceSpeed()
        self._room = Room(policy, self._classes, self.drain_rate)
        self.waiting = self._room.waiting
        self._kept = Kept()
        self.demand = Demand()
        self._prompts = Prompts()
        self._completion = Mean(FIRST_COMPLETION)
        self._deadlines = Deadlines()
        self._served_at = -math.inf
        self.set_capacity(capacity)

    def offer(self, ticket: Ticket, now: float) -> Entry | Refusal:
        """Take a request in: running at once if nobody waits and there is capacity, else waiting. Or refuse it."""
        promised = self._room.arrive(ticket, now)
        refusal = self._room.key_refusal(ticket, self._keys, now, promised=promised)
        if refusal is not None:
            return refusal
        flow = self._tenants.enter(ticket, self._by_priority[ticket.priority], self._completion.value)
        prompt = self._prompts.expect(ticket)
        entry = Entry(ticket, flow, prompt, completion(ticket, flow.tenant.completion), now)
        if ticket.deadline is not None and ticket.deadline <= now:
            self._tenants.exit(flow.tenant, now)
            return self._room.expired(entry, now)
        full = self._keys.is_full(ticket)
        if not full and not self.waiting.requests and self._has_capacity(entry, now):
            self._start(entry, now)
        else:
            refusal = self._room.refusal(entry, now, promised=promised and not full)
            if refusal is not None:
                self._tenants.exit(flow.tenant, now)
                return refusal
            if ticket.deadline is not None:
                self._deadlines.note(entry, ticket.deadline)
            if full:
                self._hold(entry)
            else:
                self._enqueue(entry, now)
        if not full:
            self._keys.add(entry)
        self.demand.came(entry)
        return entry

    def take(self, now: float) -> Entry | None:
        """The next request to start, running from now on; None while none may."""
        flow = self._next(now) if self.waiting.requests else None
        if flow is None:
            return None
        entry = flow.head
        self._start(entry, now)
        self._drain.left(now, entry.work)
        flow.drain.left(now, entry.work)
        self._dequeue(entry, now)
        return entry

    def counted(self, entry: Entry, prompt_tokens: int) -> None:
        """Exact prompt tokens of a running request as they go to an engine; those of several sequences add up."""
        if entry.state is not State.RUNNING:
            return
        difference = prompt_tokens
        if entry.exact is None:
            self._prompts.see(entry.ticket, prompt_tokens)
            difference -= entry.prompt
            entry.exact = 0
        entry.exact += prompt_tokens
        self._prefill(entry, difference)
        entry.work += difference
        self.running.tokens += difference
        self._settle(entry, difference)

    def prefilled(self, entry: Entry, prompt_tokens: int) -> None:
        """That many prompt tokens of a running request have been prefilled."""
        if entry.state is State.RUNNING:
            self._prefill(entry, -min(prompt_tokens, entry.prefill))

    def finished(self, entry: Entry) -> None:
        """One of a running request's sequences has ended, and others of it have not."""
        if entry.state is State.RUNNING and entry.sequences > 1:
            entry.sequences -= 1
            self._occupy(entry, -1)

    def leave(self, entry: Entry, now: float, completion_tokens: int | None = None) -> bool:
        """A request ends: finished, failed, timed out, its client gone, or refused after all. False: it had ended before.

        `completion_tokens`: those really generated; with None a running request's charge stays as it is.
        """
        if entry.state is State.ENDED:
            return False
        if entry.state is State.HELD:
            self._release(entry)
        elif entry.state is State.WAITING:
            self._dequeue(entry, now)
        else:
            self.running.remove(entry.work)
            self._occupy(entry, -entry.sequences)
            self._prefill(entry, -entry.prefill)
            if self._is_within_its_share(entry.flow.tenant, 1) and entry.flow.of.priority is not Priority.BATCH:
                self._kept.leave(entry.flow.tenant, entry.sequences, now)
            self._learn(entry, now, completion_tokens)
        entry.state = State.ENDED
        self._tenants.exit(entry.flow.tenant, now)
        if (held := self._keys.leave(entry)) is not None:
            self._release(held)
            held.state, held.placed = State.WAITING, now
            self._enqueue(held, now)
        return True

    def expire(self, now: float) -> list[tuple[Entry, Refusal]]:
        """Those whose deadline has passed while they waited; they have left."""
        expired = []
        for entry in self._deadlines.passed(now):
            if entry.ticket.by_default and (later := self._extended(entry, now)) > now:
                self._deadlines.note(entry, later)
                continue
            by_key = entry.state is State.HELD
            self.leave(entry, now)
            room = self._room
            refusal = room.key_later(entry.ticket, self._keys, now) if by_key else room.expired(entry, now)
            expired.append((entry, refusal))
        return expired

    def _extended(self, entry: Entry, now: float) -> float:
        """A deadline by default runs from when there was an engine, which may not be yet."""
        assert entry.ticket.deadline is not None
        absent_s = max(0.0, (self._served_at if self.capacity.sequences else now) - entry.offered)
        return entry.ticket.deadline + min(absent_s, self.policy.wake_s)

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def next_free(self, now: float) -> float | None:
        """When somebody who waits may start without anything else having happened."""
        return self._kept.until(now) if self.waiting.requests else None

    def set_capacity(self, capacity: Capacity, now: float = -math.inf) -> None:
        """Engines joined or left. Nothing that runs is stopped: with less capacity, nothing starts until enough has ended."""
        before = getattr(self, "capacity", capacity).sequences
        if capacity.sequences and not before:
            self._served_at = now
        if before and capacity.sequences:
            self._drain.scale(capacity.sequences / before)
        elif capacity.sequences:
            for drain in (self._drain, *(flow.drain for of in self._classes.all() for flow in of.flows.all())):
                drain.restart()
        self.capacity = capacity
        self._room.served = capacity.sequences > 0
        self._open_sequences = math.ceil(capacity.sequences * (1 - self.policy.reserve))
        self._open_prefill = capacity.prefill_tokens * (1 - self.policy.reserve)

    def drain_rate(self, now: float) -> float:
        """Tokens of charged work per second."""
        guess = self._speed.guess(now, self.running.tokens) * self.capacity.sequences
        return max(self._drain.rate(now, guess), LEAST_RATE)

    def status(self, now: float) -> Status:
        """O(tenants that wait)."""
        by_class, tiers = {}, Counter[str]()
        for priority, of in self._by_priority.items():
            heads = [next(iter(flow.entries)) for flow in of.flows.all()]
            tiers.update(entry.ticket.tier for entry in heads)
            oldest = min((entry.placed for entry in heads), default=now)
            by_class[priority.value] = ClassStatus(of.waiting.requests, round(of.waiting.tokens), now - oldest)
        return Status(
            waiting=self.waiting.requests,
            waiting_tokens=round(self.waiting.tokens),
            oldest_s=max(each.oldest_s for each in by_class.values()),
            by_class=by_class,
            waiting_by_tier=tiers,
            running=self.running.requests,
            running_sequences=self.sequences,
            prefill_tokens=self.prefill,
            sequences_limit=self.capacity.sequences,
            prefill_limit=self.capacity.prefill_tokens,
            drain_rate=self.drain_rate(now),
            promised=self._room.promises.outstanding,
            held=self._room.held.requests,
        )

    def _next(self, now: float) -> Flow | None:
        if not self._is_open():
            return None
        if passing := self._is_ordinary():
            flow = self._first(now)
            if flow is None or self._is_ordinary(flow.head.sequences):
                return flow
        may = self._may_pass if passing else self._may_use_reserve
        for of in self._classes.all():
            if (flow := of.by_use.first_that(lambda flow: may(flow.head))) is not None:
                flow.head.passed = passing
                return flow
        return None

    def _first(self, now: float) -> Flow | None:
        """Whose turn it is outside the reserve."""
        if not self._tenants.has_company(now):
            of = self._classes.first()
            return None if of is None else of.flows.first()

        def suits(flow: Flow) -> bool:
            return self._is_considerate(flow.head, now)

        for of in self._classes.all():
            # Not only the first few by their turn, who may all be held back.
            if (flow := of.flows.first_that(suits) or of.by_use.first_that(suits)) is not None:
                return flow
        return None

    def _has_capacity(self, entry: Entry, now: float) -> bool:
        if self._is_ordinary(entry.sequences):
            return not self._tenants.has_company(now) or self._is_considerate(entry, now)
        return self._is_open() and self._may_use_reserve(entry)

    def _is_open(self) -> bool:
        return self.sequences < self.capacity.sequences and self.prefill < self.capacity.prefill_tokens

    def _is_ordinary(self, sequences: int = 1) -> bool:
        """So many find a place outside the reserve. Those that are more than all of these need all of them."""
        fits = self._outside() + min(sequences, max(1, self._open_sequences)) <= self._open_sequences
        return fits and self.prefill < self._open_prefill

    def _outside(self) -> int:
        """Sequences that run outside the reserve."""
        return self.sequences - min(self._passed, self.capacity.sequences - max(1, self._open_sequences))

    def _may_use_reserve(self, entry: Entry) -> bool:
        """It finds places, within its tenant's share."""
        fits = self.sequences + entry.sequences <= self.capacity.sequences
        return (
            fits
            and entry.flow.of.priority is not Priority.BATCH
            and self._is_within_its_share(entry.flow.tenant, entry.sequences)
        )

    def _may_pass(self, entry: Entry) -> bool:
        fits = self._passed + entry.sequences <= self.capacity.sequences - self._open_sequences
        return fits and self._may_use_reserve(entry)

    def _is_considerate(self, entry: Entry, now: float) -> bool:
        """Its tenant is within its share with it; or it keeps its pace, and takes no place that is kept for others, of which no
        more are reckoned with than fit the reserve.
        """
        if self._is_within_its_share(entry.flow.tenant, entry.sequences):
            return True
        kept = min(self._kept.sequences(now) - entry.flow.tenant.kept, self.capacity.sequences - self._open_sequences)
        return self._outside() + kept < self._open_sequences and self._keeps_its_pace(entry)

    def _keeps_its_pace(self, entry: Entry) -> bool:
        """It may be under way to its first token beside others of its flow: one for each engine; more while their prompts fill no
        more than a step, and while they are few beside the sequences, or no more than end in a step: answers so short must begin as
        fast, or places stand idle.
        """
        flow = entry.flow
        if flow.prefilling < self.capacity.engines:
            return True
        most = self.capacity.sequences * max(PACE, 1 / max(1.0, flow.tenant.completion.value))
        return flow.prefilling + 1 <= most and flow.prefill + entry.prefill <= self.capacity.prefill_tokens * STEP

    def _is_within_its_share(self, tenant: Tenant, more: int) -> bool:
        """With so many more sequences it runs no more than its part of the places outside the reserve, reckoned as if one more
        tenant of weight 1 were there. So those who run as much as that leave the reserve to others, however many they are.
        """
        return tenant.use(more) * (self._tenants.weight + 1.0) <= self._open_sequences

    def _start(self, entry: Entry, now: float) -> None:
        flow = entry.flow
        flow.of.flows.charge(flow, entry.work)
        self._classes.charge(flow.of, entry.work)
        self._occupy(entry, entry.sequences)
        self._kept.take(flow.tenant, entry.sequences)
        prefill, entry.prefill = entry.prefill, 0
        self._prefill(entry, prefill)
        self.running.add(entry.work)
        entry.begun = now
        self._speed.started(now, entry.ticket.sequences)
        entry.state = State.RUNNING

    def _occupy(self, entry: Entry, sequences: int) -> None:
        """So many places at the engines; what is negative is given back."""
        entry.flow.tenant.running += sequences
        self.sequences += sequences
        self._passed += sequences * entry.passed
        for flow in entry.flow.tenant.flows.values():
            flow.rank()

    def _prefill(self, entry: Entry, difference: int) -> None:
        flow, before = entry.flow, entry.prefill > 0
        entry.prefill += difference
        self.prefill += difference
        flow.prefill += difference
        flow.prefilling += (entry.prefill > 0) - before

    def _settle(self, entry: Entry, difference: float) -> None:
        of = entry.flow.of
        of.flows.settle(entry.flow, difference)
        entry.flow.rank()
        self._classes.settle(of, difference)

    def _hold(self, entry: Entry) -> None:
        """Until its key has a place; room to wait is kept for it."""
        entry.state = State.HELD
        self._keys.hold(entry)
        for amount in (self._room.held, entry.flow.tenant.held):
            amount.add(entry.work)

    def _release(self, entry: Entry) -> None:
        for amount in (self._room.held, entry.flow.tenant.held):
            amount.remove(entry.work)

    def _enqueue(self, entry: Entry, now: float) -> None:
        flow, of = entry.flow, entry.flow.of
        flow.entries[entry] = None
        self.demand.waits(entry)
        for amount in (self.waiting, of.waiting, flow.tenant.waiting, flow.waiting):
            amount.add(entry.work)
        if flow.waiting.requests == 1:
            of.flows.join(flow)
            flow.drain.waiting(now, some=True)
            if len(of.flows) == 1:
                self._classes.join(of)
            flow.rank()
        if self.waiting.requests == 1:
            self._drain.waiting(now, some=True)

    def _dequeue(self, entry: Entry, now: float) -> None:
        flow, of = entry.flow, entry.flow.of
        del flow.entries[entry]
        self.demand.waits(entry, -1)
        for amount in (self.waiting, of.waiting, flow.tenant.waiting, flow.waiting):
            amount.remove(entry.work)
        flow.rank()
        if not flow.waiting.requests:
            of.flows.leave(flow)
            of.by_use.drop(flow)
            flow.drain.waiting(now, some=False)
            if not len(of.flows):
                self._classes.leave(of)
        if not self.waiting.requests:
            self._drain.waiting(now, some=False)

    def _learn(self, entry: Entry, now: float, completion_tokens: int | None) -> None:
        tenant, sequences = entry.flow.tenant, entry.ticket.sequences
        tenant.saw(now - entry.placed)
        prompt = entry.prompt if entry.exact is None else entry.exact
        work = None if completion_tokens is None else prompt + completion_tokens
        self._speed.ended(entry.begun, now, sequences, work)
        if completion_tokens is None or work is None:
            return
        self._settle(entry, work - entry.work)
        for mean in (self._completion, tenant.completion):
            mean.see(completion_tokens / sequences)

"""Any interleaving of arrivals, starts and ends: bounds hold, nothing idles that could work, every permit comes back once."""

import math
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.room import HELD
from gateway.admission.ticket import Capacity, Policy, Priority, Refusal, Ticket

POLICY = Policy(max_requests=12, max_tokens=6000, tenant_share=0.5, reserve=0.25, retry_max_s=60)
tickets = st.builds(
    Ticket,
    tenant=st.sampled_from("abcd"),
    key=st.sampled_from("kl"),
    prompt_guess=st.integers(0, 900),
    max_completion_tokens=st.integers(1, 900),
    priority=st.sampled_from(Priority),
    weight=st.sampled_from([0.5, 1.0, 3.0]),
    sequences=st.integers(1, 3),
    deadline=st.none(),
    key_limit=st.sampled_from([None, 2]),
)


class Queue(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue(POLICY, Capacity(6, 3000))
        self.now = 0.0
        self.waiting: list[Entry] = []
        self.running: list[Entry] = []
        self.ended: list[Entry] = []
        self.held: list[Entry] = []
        self.told: list[tuple[float, Ticket]] = []

    @rule(ticket=tickets, patience=st.none() | st.floats(0.1, 20))
    def arrive(self, ticket: Ticket, patience: float | None) -> None:
        if patience is not None:
            ticket = ticket._replace(deadline=self.now + patience)
        self.offer(ticket)

    @precondition(lambda self: self.told)
    @rule(late=st.floats(0, 1))
    def come_back(self, late: float) -> None:
        at, ticket = self.told.pop()
        self.time_passes(max(0.01, at + late - self.now))
        self.offer(ticket._replace(deadline=None))

    def offer(self, ticket: Ticket) -> None:
        mine = sum(entry.ticket.key == ticket.key for entry in self.waiting + self.running)
        outcome = self.queue.offer(ticket, self.now)
        if isinstance(outcome, Refusal):
            assert 1 <= outcome.retry_after_s <= POLICY.retry_max_s
            self.told.append((self.now + outcome.retry_after_s, ticket))
            return
        full = ticket.key_limit is not None and mine >= ticket.key_limit
        assert full == (outcome.state is State.HELD)
        among = {State.RUNNING: self.running, State.WAITING: self.waiting, State.HELD: self.held}
        among[outcome.state].append(outcome)
        self.start_those_who_may()

    @rule(seconds=st.floats(0.01, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        for entry, _refusal in self.queue.expire(self.now):
            assert entry.ticket.deadline is not None
            assert entry.ticket.deadline <= self.now
            (self.held if entry in self.held else self.waiting).remove(entry)
            self.ended.append(entry)
        assert all(
            entry.ticket.deadline is None or entry.ticket.deadline > self.now for entry in self.waiting + self.held
        )
        self.start_those_who_may()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), completion=st.none() | st.integers(0, 2000))
    def finish_or_fail(self, data: st.DataObject, completion: int | None) -> None:
        self.end(data.draw(st.sampled_from(self.running)), self.running, completion)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def client_goes_while_waiting(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(self.waiting)), self.waiting, None)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def client_goes_while_held(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from(self.held)), self.held, None)

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), completion=st.none() | st.integers(0, 50))
    def a_second_end_changes_nothing(self, data: st.DataObject, completion: int | None) -> None:
        entry = data.draw(st.sampled_from(self.ended))
        assert not self.queue.leave(entry, self.now, completion)
        self.queue.counted(entry, 50)
        self.queue.prefilled(entry, 50)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=st.integers(0, 2000))
    def render(self, data: st.DataObject, tokens: int) -> None:
        self.queue.counted(data.draw(st.sampled_from(self.running)), tokens)
        self.start_those_who_may()

    @precondition(lambda self: self.running)
    @rule(data=st.data(), tokens=st.integers(0, 2000))
    def prefill(self, data: st.DataObject, tokens: int) -> None:
        self.queue.prefilled(data.draw(st.sampled_from(self.running)), tokens)
        self.start_those_who_may()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def a_sequence_ends(self, data: st.DataObject) -> None:
        self.queue.finished(data.draw(st.sampled_from(self.running)))
        self.start_those_who_may()

    @rule(sequences=st.integers(0, 10), prefill=st.integers(0, 5000))
    def engines_come_and_go(self, sequences: int, prefill: int) -> None:
        self.queue.set_capacity(Capacity(sequences, prefill))
        self.start_those_who_may()

    def end(self, entry: Entry, among: list[Entry], completion: int | None) -> None:
        among.remove(entry)
        self.ended.append(entry)
        assert self.queue.leave(entry, self.now, completion)
        self.start_those_who_may()

    def start_those_who_may(self) -> None:
        for entry in [entry for entry in self.held if entry.state is not State.HELD]:
            self.held.remove(entry)
            self.waiting.append(entry)
        while (entry := self.queue.take(self.now)) is not None:
            others = self.queue.sequences - entry.ticket.sequences
            assert others + min(entry.ticket.sequences, self.places) <= self.queue.capacity.sequences
            assert self.queue.prefill - entry.prefill < self.queue.capacity.prefill_tokens
            self.waiting.remove(entry)
            self.running.append(entry)

    @property
    def places(self) -> int:
        """Outside the reserve."""
        return max(1, math.ceil(self.queue.capacity.sequences * (1 - POLICY.reserve)))

    @invariant()
    def the_books_agree(self) -> None:
        queue = self.queue
        assert queue.sequences == sum(entry.sequences for entry in self.running)
        assert queue._passed == sum(entry.sequences for entry in self.running if entry.passed)
        assert queue.prefill == sum(entry.prefill for entry in self.running)
        for flow in {entry.flow for entry in self.running + self.ended}:
            assert flow.prefill == sum(entry.prefill for entry in self.running if entry.flow is flow)
            assert flow.prefilling == sum(entry.prefill > 0 for entry in self.running if entry.flow is flow)
        assert queue.running.requests == len(self.running)
        assert queue.waiting.requests == len(self.waiting)
        assert queue.waiting.tokens == sum(entry.work for entry in self.waiting)
        assert queue._room.held.tokens == sum(entry.work for entry in self.held)
        assert all(entry.state is State.HELD for entry in self.held)
        assert all(entry.state is State.WAITING for entry in self.waiting)
        assert all(entry.state is State.RUNNING for entry in self.running)

    @invariant()
    def a_key_holds_no_more_than_it_may(self) -> None:
        for key in "kl":
            held = [entry for entry in self.held if entry.ticket.key == key]
            mine = [entry for entry in self.waiting + self.running if entry.ticket.key == key]
            assert len(held) <= HELD
            assert not held or len(mine) >= 2, "held though there is a place"

    @invariant()
    def the_bounds_hold(self) -> None:
        there = self.waiting + self.held
        theirs = {name: [e.work for e in there if e.ticket.tenant == name] for name in "abcd"}
        assert len(there) <= POLICY.max_requests
        assert sum(map(sum, theirs.values())) <= POLICY.max_tokens or len(there) == 1
        for works in theirs.values():
            assert len(works) <= POLICY.max_requests * POLICY.tenant_share
            assert sum(works) <= POLICY.max_tokens * POLICY.tenant_share or len(works) == 1

    @invariant()
    def nothing_idles_that_could_work(self) -> None:
        capacity = self.queue.capacity
        kept = min(self.queue._kept.sequences(self.now), capacity.sequences * POLICY.reserve)
        widest = max((entry.sequences for entry in self.waiting), default=1)
        taken = self.queue.sequences + kept
        open_sequences = taken + min(widest, self.places) <= capacity.sequences * (1 - POLICY.reserve)
        open_prefill = self.queue.prefill < capacity.prefill_tokens * (1 - POLICY.reserve)
        free_to_start = [entry for entry in self.waiting if not entry.flow.prefilling]
        assert not (free_to_start and open_sequences and open_prefill)

    def teardown(self) -> None:
        self.queue.set_capacity(Capacity(100, 10**9))
        self.start_those_who_may()
        while self.waiting or self.held:
            if not self.waiting:
                self.end(self.running[0], self.running, 1)
                continue
            before = len(self.waiting)
            self.now += 1
            for entry in self.running:
                self.queue.prefilled(entry, entry.prefill)
            self.start_those_who_may()
            assert len(self.waiting) < before
        for entry in list(self.running):
            self.end(entry, self.running, 1)
        assert (self.queue.sequences, self.queue.prefill, self.queue.running.requests) == (0, 0, 0)
        self.now += 1
        assert self.queue._kept.sequences(self.now) == 0
        assert not self.queue._keys
        assert not self.queue._keys._held
        assert not self.queue._tenants._all
        assert self.queue._tenants.weight == 0.0
        self.now += 10_000
        self.queue.offer(Ticket("z", "z", 1, 1), self.now)
        status = self.queue.status(self.now)
        assert (status.promised, status.waiting, status.running) == (0, 0, 1)
        promises = self.queue._room.promises
        assert not promises._events
        assert not promises._of_claim


Queue.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestExactlyOnce = Queue.TestCase


def test_a_reserve_of_nothing_leaves_nothing_idle_at_all() -> None:
    fair = FairQueue(replace(POLICY, reserve=0.0), Capacity(3, 10**6))
    outcomes = [fair.offer(Ticket("a", "a", 10, 10), 0.0) for _ in range(6)]
    assert fair.sequences == 3
    assert sum(isinstance(each, Entry) for each in outcomes) == 6

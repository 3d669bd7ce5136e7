"""Admission of one model on an event loop: waits for the fair queue's word, and gives out permits that come back
exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from gateway.admission.ledger import Entry, State

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from gateway.admission.fair_queue import FairQueue
    from gateway.admission.status import Status
    from gateway.admission.ticket import Capacity, Reason, Refusal, Ticket

BEAT_S = 5.0


class Permit:
    """The right to run one request, until its context is left or `release` is called, whichever comes first.

    What is learned about the request on its way is told here; nothing is counted once the permit is released. The end of its
    last sequence releases it: its client may take as long as it likes to read what is there.
    """

    __slots__ = ("_admission", "_completion", "_entry", "_left")

    def __init__(self, admission: Admission, entry: Entry) -> None:
        self._admission = admission
        self._entry = entry
        self._completion: int | None = None
        self._left = entry.ticket.sequences

    @property
    def waited_s(self) -> float:
        return self._entry.begun - self._entry.offered

    @property
    def queued_s(self) -> float:
        """What it waited for an engine, and not for a place of its key."""
        return self._entry.begun - self._entry.placed

    def counted(self, prompt_tokens: int) -> None:
        """The exact prompt, as it goes to an engine; of several sequences each tells its own."""
        self._admission.counted(self._entry, prompt_tokens)

    def prefilled(self, prompt_tokens: int) -> None:
        """An engine has prefilled that much of it, or will not any more."""
        self._admission.prefilled(self._entry, prompt_tokens)

    def generated(self, tokens: int) -> None:
        """One of its sequences has ended, with so many completion tokens; a request that tells of none keeps the charge it
        began with.
        """
        self._completion = (self._completion or 0) + tokens
        self._left -= 1
        if self._left > 0:
            self._admission.finished(self._entry)
        else:
            self.release()

    def release(self) -> None:
        self._admission.leave(self._entry, self._completion)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Admission:
    """One for each model and gateway, used from one event loop. `refused` counts refusals by reason. `widest`: the most sequences
    that a request may have; 0: not known yet.
    """

    def __init__(self, queue: FairQueue, clock: Callable[[], float] = time.monotonic, beat_s: float = BEAT_S) -> None:
        self.queue = queue
        self.refused: Counter[Reason] = Counter()
        self.widest = 0
        self.now = clock
        self.beat_s = beat_s
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    async def admit(self, ticket: Ticket, beat: Callable[[], None] | None = None) -> Permit | Refusal:
        """A permit, at once or after waiting in the queue; or a refusal. `beat` is called every `beat_s` seconds while
        it waits.

        The caller may be cancelled at any moment: a permit that was on its way to it goes to the next.
        """
        taken = self.queue.offer(ticket, self.now())
        if not isinstance(taken, Entry):
            self.refused[taken.reason] += 1
            return taken
        if taken.state is not State.RUNNING:
            refusal = await self._wait(taken, beat)
            if refusal is not None:
                return refusal
        return Permit(self, taken)

    def set_capacity(self, capacity: Capacity) -> None:
        self.queue.set_capacity(capacity, self.now())
        self._start_those_who_may()

    def counted(self, entry: Entry, prompt_tokens: int) -> None:
        self.queue.counted(entry, prompt_tokens)
        self._start_those_who_may()

    def prefilled(self, entry: Entry, prompt_tokens: int) -> None:
        self.queue.prefilled(entry, prompt_tokens)
        self._start_those_who_may()

    def finished(self, entry: Entry) -> None:
        self.queue.finished(entry)
        self._start_those_who_may()

    def leave(self, entry: Entry, completion_tokens: int | None = None) -> None:
        if self.queue.leave(entry, self.now(), completion_tokens):
            self._start_those_who_may()
            if self.queue.waiting.requests:
                self._set_timer()

    def status(self) -> Status:
        return self.queue.status(self.now())

    async def _wait(self, entry: Entry, beat: Callable[[], None] | None) -> Refusal | None:
        future: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        entry.waiter = future
        self._start_those_who_may()
        self._set_timer()
        try:
            while beat is not None and not future.done():
                await asyncio.wait((future,), timeout=self.beat_s)
                if not future.done():
                    beat()
            return await future
        except BaseException:
            self.leave(entry)
            raise

    def _start_those_who_may(self) -> None:
        if not self.queue.waiting.requests:
            return
        now = self.now()
        while (entry := self.queue.take(now)) is not None:
            if entry.waiter.done():
                # Cancelled a moment ago; it will find out that it has left already.
                self.queue.leave(entry, now)
            else:
                entry.waiter.set_result(None)

    def _set_timer(self) -> None:
        instants = self.queue.next_deadline(), self.queue.next_free(self.now())
        at = min((at for at in instants if at is not None), default=None)
        if at is None or (self._timer is not None and self._timer_at <= at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self.now()), self._expire)

    def _expire(self) -> None:
        self._timer = None
        for entry, refusal in self.queue.expire(self.now()):
            self.refused[refusal.reason] += 1
            if not entry.waiter.done():
                entry.waiter.set_result(refusal)
        self._start_those_who_may()
        self._set_timer()

"""Is there room to wait, and if not, when: the queue's bounds and its refusals.

The whole queue is bounded, and a tenant holds at most `tenant_share` of it. A flow may grow only to weight / 2 times
what is still free (dynamic thresholds, Choudhury and Hahne 1998): with n floods of weight 1, two parts in n + 2 stay
free for whoever comes new. Room held for promises is kept from other requests of the same flow and from nobody else, so
that a flood that never comes back when told to takes nothing from others. A request that would be its flow's only one
always fits if the whole queue has room, and an empty queue takes a request of any size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gateway.admission.bounds import Amount, Bound
from gateway.admission.promises import LEAD_S, UNBOUNDED, Account, Promises
from gateway.admission.retry import key_frees, part, told
from gateway.admission.ticket import Policy, Reason, Refusal, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.admission.fair_order import FairOrder
    from gateway.admission.keys import Keys
    from gateway.admission.ledger import Class, Entry, Flow

THRESHOLD = 0.5
FRESH = 0.9
MARGIN = 0.7
FIRST_SOJOURN_S = 5.0
HELD = 8
"""Requests of a key that are held at most, or as many as it may have in progress where that is more."""


class Room:
    """`served`: engines are there. While they are not, nobody can say when somebody starts, and no deadline is out of reach.
    `held` is what is held until its key has a place: it finds room then.
    """

    def __init__(self, policy: Policy, classes: FairOrder[Class], rate: Callable[[float], float]) -> None:
        self.waiting = Amount()
        self.held = Amount()
        self.promises = Promises()
        self._bound = Bound(policy.max_requests, policy.max_tokens)
        self._tenant_bound = self._bound.times(policy.tenant_share)
        self._fresh_bound = self._tenant_bound.times(FRESH)
        self._most_s = policy.retry_max_s
        self._classes = classes
        self._rate = rate
        self._account = Account()
        self._keys: dict[str, Account] = {}
        self.served = True

    def arrive(self, ticket: Ticket, now: float) -> bool:
        """Whether a promise to this request is due, which it uses up."""
        self.promises.advance(now)
        return self.promises.outstanding > 0 and ticket.attempt != 0 and self.promises.redeem(ticket.claim, now)

    def key_refusal(self, ticket: Ticket, keys: Keys, now: float, *, promised: bool) -> Refusal | None:
        """None: the key may have one more; or this one was promised, and may be held until the key has a place in time."""
        in_progress, held = keys.in_progress(ticket.key), keys.held(ticket.key)
        limit = ticket.key_limit
        if not in_progress or limit is None:
            return None
        account = self._keys.get(ticket.key)
        due = account.due.requests if account is not None and not promised else 0
        if len(in_progress) + held + due < limit:
            return None
        if promised and held < max(HELD, limit):
            seconds = key_frees(in_progress, _sojourn(in_progress, now), held, now)
            if self._in_time(ticket, seconds, now):
                return None
        return self.key_later(ticket, keys, now)

    def key_later(self, ticket: Ticket, keys: Keys, now: float) -> Refusal:
        """For one whose key is full."""
        in_progress, account = keys.in_progress(ticket.key), self._keys.setdefault(ticket.key, Account())
        sojourn = _sojourn(in_progress, now)
        seconds = key_frees(in_progress, sojourn, keys.held(ticket.key) + account.promised.requests, now)
        refusal = self._promise(Reason.KEY_CONCURRENCY, ticket, 0.0, (account,), seconds, now, lead_s=sojourn)
        if not account.promised.requests:
            del self._keys[ticket.key]
        return refusal

    def refusal(self, entry: Entry, now: float, *, promised: bool) -> Refusal | None:
        """None: the entry may wait. Promises let it pass all but the hard bounds."""
        flow, work, due = entry.flow, entry.work, entry.flow.account.due
        hard = self._bound.fits(work, self.waiting, self.held)
        tenant_hard = self._tenant_bound.fits(work, flow.tenant.waiting, flow.tenant.held)
        free = self._bound.left(self.waiting, self.held, due).times(THRESHOLD * flow.weight)
        fresh = free.within(self._fresh_bound)
        if hard and tenant_hard:
            if promised:
                return None
            mine = flow.waiting.requests + flow.tenant.held.requests
            alone = not mine and self._bound.fits(work, self.waiting, self.held, due)
            if alone or fresh.fits(work, flow.waiting, flow.tenant.held, due):
                return self._deadline_refusal(entry, now)
        seconds = fresh.excess(work, flow.waiting, flow.account.promised) / self._rate_of(flow, now)
        if not hard:
            ahead = self._bound.excess(work, self.waiting, self.held, self._account.promised)
            seconds = max(seconds, ahead / self._rate(now))
        if not tenant_hard:
            rates = sum(self._rate_of(each, now) for each in flow.tenant.flows.values() if each.entries)
            ahead = self._tenant_bound.excess(work, flow.tenant.waiting, flow.tenant.held, flow.account.promised)
            seconds = max(seconds, ahead / (rates or self._rate_of(flow, now)))
        by_tenant = not tenant_hard or self._holds_its_part(flow)
        return self._later(Reason.TENANT_QUEUE if by_tenant else Reason.QUEUE_FULL, entry, seconds, now)

    def expired(self, entry: Entry, now: float) -> Refusal:
        """The words for one whose deadline passed while it waited; it has left the queue."""
        return self._later(Reason.DEADLINE_EXPIRED, entry, self._wait_s(entry, entry.flow.account.promised, now), now)

    def _deadline_refusal(self, entry: Entry, now: float) -> Refusal | None:
        if self._in_time(entry.ticket, self._wait_s(entry, entry.flow.account.due, now), now):
            return None
        left = MARGIN * max(0.0, (entry.ticket.deadline or now) - now)
        seconds = self._wait_s(entry, entry.flow.account.promised, now) - left
        return self._later(Reason.DEADLINE_UNREACHABLE, entry, seconds, now)

    def _in_time(self, ticket: Ticket, wait_s: float, now: float) -> bool:
        deadline = ticket.deadline
        return deadline is None or not self.served or wait_s <= MARGIN * max(0.0, deadline - now)

    def _wait_s(self, entry: Entry, promises: Amount, now: float) -> float:
        return (entry.flow.waiting.tokens + promises.tokens) / self._rate_of(entry.flow, now)

    def _rate_of(self, flow: Flow, now: float) -> float:
        """Tokens per second that leave the flow: what has been leaving it, beginning with what is due to it now."""
        due = self._rate(now) * part(flow, self._classes)
        return flow.drain.rate(now, due)

    def _holds_its_part(self, flow: Flow) -> bool:
        """Of what waits or is held, the flow has at least what would be its weighted part within its class."""
        of = flow.of
        mine = flow.waiting.tokens + flow.tenant.held.tokens
        weights = of.flows.weight + (0.0 if flow in of.flows else flow.weight)
        return mine > 0 and mine * weights >= (of.waiting.tokens + self.held.tokens) * flow.weight

    def _later(self, reason: Reason, entry: Entry, seconds: float, now: float) -> Refusal:
        accounts = (self._account, entry.flow.account)
        return self._promise(reason, entry.ticket, entry.work, accounts, seconds, now, most=self._fresh_bound)

    def _promise(
        self,
        reason: Reason,
        ticket: Ticket,
        work: float,
        accounts: tuple[Account, ...],
        seconds: float,
        now: float,
        lead_s: float = LEAD_S,
        most: Bound = UNBOUNDED,
    ) -> Refusal:
        before = self.promises.earliest(ticket.claim) if ticket.attempt else None
        if before is not None and before > now:
            return Refusal(reason, math.ceil(before - now))
        after = told(seconds, self._most_s)
        if after < self._most_s:
            self.promises.make(ticket.claim, work, accounts, now, after, lead_s, most)
        return Refusal(reason, after)


def _sojourn(in_progress: Mapping[Entry, None], now: float) -> float:
    """Seconds that a request of theirs takes, with its wait for an engine; they are some."""
    oldest = next(iter(in_progress))
    seen = oldest.flow.tenant.sojourn
    return seen.value if seen is not None else max(FIRST_SOJOURN_S, 2 * (now - oldest.placed))

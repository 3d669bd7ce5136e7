"""The queue's books: tenants, their flows through the classes, and requests from arrival to end."""

from __future__ import annotations

import math
from collections import OrderedDict
from enum import Enum
from typing import TYPE_CHECKING, Any

from gateway.admission.bounds import Amount
from gateway.admission.drain_rate import DrainRate
from gateway.admission.estimates import Mean
from gateway.admission.fair_order import FairOrder, Lane
from gateway.admission.promises import Account
from gateway.admission.ranks import Ranks

if TYPE_CHECKING:
    from gateway.admission.ticket import Priority, Ticket

IDLE_TENANTS = 1024
RECENT_S = 10.0
"""A tenant that had a request so lately may have another at any moment."""


class State(Enum):
    HELD = "held"
    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Class(Lane):
    """A priority class: it takes turns with the others, and its tenants take turns within it. `by_use`: the same flows, by how
    much their tenants run.
    """

    __slots__ = ("by_use", "flows", "priority", "waiting")

    def __init__(self, priority: Priority, weight: float) -> None:
        super().__init__(weight)
        self.priority = priority
        self.flows: FairOrder[Flow] = FairOrder()
        self.by_use: Ranks[Flow] = Ranks()
        self.waiting = Amount()


class Tenant:
    """`running` sequences; `left` and `kept` ones are kept.py's. `held`: what is held until its key has a place."""

    __slots__ = (
        "completion",
        "flows",
        "held",
        "kept",
        "left",
        "left_at",
        "name",
        "present",
        "running",
        "sojourn",
        "waiting",
        "weight",
    )

    def __init__(self, name: str, completion: float) -> None:
        self.name = name
        self.weight = 1.0
        self.flows: dict[Priority, Flow] = {}
        self.waiting = Amount()
        self.held = Amount()
        self.running = self.left = self.kept = 0
        self.present = 0
        self.left_at = -math.inf
        self.completion = Mean(completion)
        self.sojourn: Mean | None = None

    def saw(self, sojourn_s: float) -> None:
        """One of its requests has waited for an engine and run, for so long."""
        if self.sojourn is None:
            self.sojourn = Mean(sojourn_s)
        else:
            self.sojourn.see(sojourn_s)

    def use(self, more: int) -> float:
        """What it runs with so many more sequences, for its weight; 0 if that is a single one, to which everybody has a right."""
        sequences = self.running + more
        return sequences / self.weight if sequences > 1 else 0.0


class Flow(Lane):
    """One tenant's requests in one class, first come first served. `prefilling` of them run, with `prefill` prompt tokens that no
    engine has prefilled yet.
    """

    __slots__ = ("account", "drain", "entries", "of", "prefill", "prefilling", "tenant", "waiting")

    def __init__(self, tenant: Tenant, of: Class) -> None:
        super().__init__(tenant.weight)
        self.tenant = tenant
        self.of = of
        self.entries: OrderedDict[Entry, None] = OrderedDict()
        self.waiting = Amount()
        self.account = Account()
        self.drain = DrainRate()
        self.prefill = self.prefilling = 0

    @property
    def head(self) -> Entry:
        """Of those that wait, the one that goes next; there is one."""
        return next(iter(self.entries))

    def rank(self) -> None:
        """Again, if something waits: after each change of its tag, of the one that goes next, or of what the tenant runs."""
        if self.entries:
            self.of.by_use.place(self, self.tenant.use(self.head.sequences), self.start)


class Entry:
    """A request that has been taken in. `work` is what it is charged, `prompt` as guessed and `exact` as counted are
    the prompt's part of it, `prefill` what no engine has prefilled yet. `sequences` have not ended yet; `passed`: it started
    while one that is too wide for the places that are free waited for more. `placed`: since when it waits for an engine, and no
    longer for its key.
    """

    __slots__ = (
        "begun",
        "exact",
        "flow",
        "offered",
        "passed",
        "placed",
        "prefill",
        "prompt",
        "sequences",
        "state",
        "ticket",
        "waiter",
        "work",
    )

    def __init__(self, ticket: Ticket, flow: Flow, prompt: int, completion: int, now: float) -> None:
        self.ticket = ticket
        self.flow = flow
        self.work = prompt + completion
        self.prompt = self.prefill = prompt
        self.sequences = ticket.sequences
        self.passed = False
        self.exact: int | None = None
        self.offered = self.placed = self.begun = now
        self.state = State.WAITING
        self.waiter: Any = None


class Tenants:
    """Those present (something waiting or running), and the latest of those that were: what they owe is not forgotten
    at once.
    """

    def __init__(self) -> None:
        self._all: dict[str, Tenant] = {}
        self._idle: OrderedDict[str, Tenant] = OrderedDict()
        self.weight = 0.0

    def enter(self, ticket: Ticket, of: Class, completion: float) -> Flow:
        """The flow a request belongs to. A changed weight holds from a tenant's next busy period."""
        tenant = self._all.get(ticket.tenant)
        if tenant is None:
            tenant = self._idle.pop(ticket.tenant, None) or Tenant(ticket.tenant, completion)
            self._all[ticket.tenant] = tenant
            tenant.weight = ticket.weight
            for flow in tenant.flows.values():
                flow.weight = ticket.weight
            self.weight += tenant.weight
        tenant.present += 1
        flow = tenant.flows.get(of.priority)  # type: ignore[assignment]
        if flow is None:
            flow = tenant.flows[of.priority] = Flow(tenant, of)
        return flow

    def exit(self, tenant: Tenant, now: float) -> None:
        """One request of the tenant is over."""
        tenant.present -= 1
        if tenant.present:
            return
        tenant.left_at = now
        del self._all[tenant.name]
        self.weight = self.weight - tenant.weight if self._all else 0.0
        self._idle[tenant.name] = tenant
        if len(self._idle) > IDLE_TENANTS:
            self._idle.popitem(last=False)

    def has_company(self, now: float) -> bool:
        """Whether more than one tenant is present, or was lately."""
        if len(self._all) > 1:
            return True
        return bool(self._idle) and now - next(reversed(self._idle.values())).left_at < RECENT_S

"""What is due to the stores: told in the background, so that no stream waits for it, and kept while nobody listens."""

import asyncio
from collections import defaultdict
from typing import Final, NamedTuple

from gateway.limits.circuit import Circuit
from gateway.limits.local_budgets import LocalBudgets
from gateway.limits.store import BudgetStore, Claim, StoreUnavailable
from gateway.limits.verdict import Part

MOST_DUE: Final = 200_000


class _Charge(NamedTuple):
    charge: str
    tenant: str
    claims: tuple[Claim, ...]
    tokens: int


class Settlement:
    """`forgotten` counts settlements given up in an outage so long that they were too many to keep: their leases give
    back what was reserved.
    """

    def __init__(self, local: LocalBudgets, shared: BudgetStore | None, name: str, retry_s: float) -> None:
        self._local, self._shared, self._name = local, shared, name
        self.circuit = Circuit(self._probe, retry_s)
        self._due_here: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._due_there: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self._debts: defaultdict[tuple[str, tuple[Claim, ...]], int] = defaultdict(int)
        self._charges: list[_Charge] = []
        self._charged = 0
        self._anything = asyncio.Event()
        self.forgotten = 0

    def settle(self, tenant: str, part: Part, tokens: int) -> None:
        """What was admitted from this gateway's own part is owed to the shared store, too."""
        (self._due_here if part.local else self._due_there)[tenant][part.reservation] = tokens
        if part.local and self._shared is not None and tokens:
            self._debts[tenant, tuple(part.claims)] += tokens
        self._anything.set()

    async def run(self) -> None:
        """Never returns."""
        while True:
            await self._anything.wait()
            self._anything.clear()
            try:
                await self.flush()
            except StoreUnavailable as exc:
                self.circuit.trip(exc)

    async def flush(self, *, last: bool = False) -> None:
        """Raises StoreUnavailable; what was not told stays due. The last time asks a store that did not answer before."""
        while self._due_here:
            tenant, used = self._due_here.popitem()
            await self._local.settle(tenant, used)
        if self._shared is not None and (last or self.circuit.closed):
            await self._tell(self._shared)

    async def _probe(self) -> None:
        """The store is back once it knows what it missed: until then its budgets look emptier than they are."""
        assert self._shared is not None
        await self._shared.ping()
        await self._tell(self._shared)

    async def _tell(self, shared: BudgetStore) -> None:
        while self._due_there:
            tenant, used = self._due_there.popitem()
            try:
                await shared.settle(tenant, used)
            except StoreUnavailable:
                self._due_there[tenant] = used | self._due_there.get(tenant, {})
                self._keep_within_bounds()
                raise
        for (tenant, claims), tokens in self._debts.items():
            self._charged += 1
            self._charges.append(_Charge(f"{self._name}-{self._charged}", tenant, claims, tokens))
        self._debts.clear()
        while self._charges:
            charge, tenant, claims, tokens = self._charges[-1]
            await shared.charge(tenant, charge, claims, tokens)
            self._charges.pop()

    def _keep_within_bounds(self) -> None:
        due = sum(map(len, self._due_there.values()))
        if due > MOST_DUE:
            self.forgotten += due
            self._due_there.clear()

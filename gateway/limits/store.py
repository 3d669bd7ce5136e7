"""What every store of token budgets does; `tests/gateway/limits/test_stores.py` is the contract in full.

A *claim* names one meter and its budget. A request makes several at once (its key's and its tenant's, per minute and per
day) and gets all or none. What it gets is a *reservation* with a lease: whoever holds it renews it, and tells what has
been used so far; when a gateway dies, its reservations come back as soon as their leases end, but for what was told.

All of one tenant's meters live together, so that one atomic step sees them all. Calls with the same `id` are one call:
a repeated `reserve` gives the same answer, a second `settle` changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.errors import OperatorError
from gateway.limits.budgets import Budget


class Claim(NamedTuple):
    """`meter` is unique within the tenant."""

    meter: str
    budget: Budget


class Granted(NamedTuple):
    """`used[i]` tokens of claim i are taken now, this reservation included."""

    used: tuple[float, ...]


class Denied(NamedTuple):
    """Claim `claim` is the one that stands in the way longest: `wait_s` seconds, or for ever if None."""

    claim: int
    wait_s: float | None
    used: tuple[float, ...]


class StoreUnavailable(OperatorError):
    """The store cannot be asked at the moment. Whether the step was taken is unknown: repeat it with the same id."""


class BudgetStore(Protocol):
    """`now` in seconds since the epoch; None takes the store's own clock. Every method may raise StoreUnavailable."""

    async def reserve(
        self,
        tenant: str,
        reservation: str,
        claims: Sequence[Claim],
        tokens: int,
        lease_s: float,
        now: float | None = None,
    ) -> Granted | Denied: ...

    async def settle(self, tenant: str, used: Mapping[str, int], now: float | None = None) -> None:
        """Reservation → tokens truly used, also more than were reserved. One whose lease ended is charged all the same."""
        ...

    async def renew(self, tenant: str, used: Mapping[str, int], lease_s: float, now: float | None = None) -> None:
        """Reservation → tokens used so far: what stays charged if its lease should end."""
        ...

    async def charge(
        self, tenant: str, charge: str, claims: Sequence[Claim], tokens: int, now: float | None = None
    ) -> None:
        """Without asking whether it fits: what was used while the store could not be asked."""
        ...

    async def used(self, tenant: str, claims: Sequence[Claim], now: float | None = None) -> tuple[float, ...]: ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...

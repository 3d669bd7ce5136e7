"""Token budgets of this process alone. Nothing here waits, so that a step is atomic on one event loop."""

import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.limits.budgets import EMPTY, Budget, Meter, charged, level, settled, wait_for
from gateway.limits.store import Claim, Denied, Granted

KEEP_S = 86_400.0
"""How long a charge, or a reservation whose lease ended, is remembered, so that it can be repeated or settled late."""


@dataclass(slots=True)
class _Reservation:
    claims: Sequence[Claim]
    tokens: int
    since: float
    until: float
    used: int = 0
    ended: bool = False


class LocalBudgets:
    """See BudgetStore. With several gateways each holds the whole budget, unless its limits are a share of it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._meters: dict[tuple[str, str], tuple[Budget, Meter]] = {}
        self._open: dict[tuple[str, str], _Reservation] = {}
        self._leases: list[tuple[float, tuple[str, str]]] = []
        self._charges: dict[tuple[str, str], float] = {}
        self._swept = 0

    async def reserve(
        self,
        tenant: str,
        reservation: str,
        claims: Sequence[Claim],
        tokens: int,
        lease_s: float,
        now: float | None = None,
    ) -> Granted | Denied:
        now = self._clock() if now is None else now
        self._end_leases(now)
        known = self._open.get((tenant, reservation))
        if known is None or known.ended:
            meters = [charged(claim.budget, self._meter(tenant, claim), tokens, now) for claim in claims]
            if any(meter.used > claim.budget.limit for claim, meter in zip(claims, meters, strict=True)):
                waits = [wait_for(claim.budget, self._meter(tenant, claim), tokens, now) for claim in claims]
                longest = max(range(len(waits)), key=lambda i: math.inf if (wait := waits[i]) is None else wait)
                return Denied(longest, waits[longest], self.levels(tenant, claims, now))
            for claim, meter in zip(claims, meters, strict=True):
                self._set(tenant, claim, meter)
            until = now + lease_s
            self._open[tenant, reservation] = _Reservation(tuple(claims), tokens, now, until)
            heapq.heappush(self._leases, (until, (tenant, reservation)))
            return Granted(tuple(meter.used for meter in meters))
        return Granted(self.levels(tenant, claims, now))

    async def settle(self, tenant: str, used: Mapping[str, int], now: float | None = None) -> None:
        now = self._clock() if now is None else now
        self._end_leases(now)
        for reservation, tokens in used.items():
            if (known := self._open.pop((tenant, reservation), None)) is not None:
                self._settle(tenant, known, tokens, now)

    async def renew(self, tenant: str, used: Mapping[str, int], lease_s: float, now: float | None = None) -> None:
        now = self._clock() if now is None else now
        for reservation, tokens in used.items():
            if (known := self._open.get((tenant, reservation))) is not None and not known.ended:
                known.until, known.used = now + lease_s, tokens
        self._end_leases(now)

    async def charge(
        self, tenant: str, charge: str, claims: Sequence[Claim], tokens: int, now: float | None = None
    ) -> None:
        now = self._clock() if now is None else now
        if (tenant, charge) not in self._charges:
            self._charges[tenant, charge] = now
            for claim in claims:
                self._set(tenant, claim, charged(claim.budget, self._meter(tenant, claim), tokens, now))

    async def used(self, tenant: str, claims: Sequence[Claim], now: float | None = None) -> tuple[float, ...]:
        now = self._clock() if now is None else now
        self._end_leases(now)
        return self.levels(tenant, claims, now)

    def surely_fits(self, tenant: str, claims: Sequence[Claim], tokens: float) -> bool:
        """Even if nothing had drained since anybody last looked."""
        return all(self._meter(tenant, claim).used + tokens <= claim.budget.limit for claim in claims)

    def levels(self, tenant: str, claims: Sequence[Claim], now: float) -> tuple[float, ...]:
        return tuple(level(claim.budget, self._meter(tenant, claim), now) for claim in claims)

    def note(self, tenant: str, claims: Sequence[Claim], used: Sequence[float], now: float | None = None) -> None:
        """What another store counts, so that this one can go on from there."""
        now = self._clock() if now is None else now
        for claim, tokens in zip(claims, used, strict=True):
            self._set(tenant, claim, Meter(tokens, now))

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def _meter(self, tenant: str, claim: Claim) -> Meter:
        known = self._meters.get((tenant, claim.meter))
        return EMPTY if known is None else known[1]

    def _set(self, tenant: str, claim: Claim, meter: Meter) -> None:
        if len(self._meters) > 2 * self._swept + 1000:
            self._sweep(meter.at)
        self._meters[tenant, claim.meter] = (claim.budget, meter)

    def _settle(self, tenant: str, known: _Reservation, tokens: int, now: float) -> None:
        for claim in known.claims:
            meter = settled(claim.budget, self._meter(tenant, claim), known.tokens, tokens, known.since, now)
            self._set(tenant, claim, meter)

    def _end_leases(self, now: float) -> None:
        while self._leases and self._leases[0][0] <= now:
            _, key = heapq.heappop(self._leases)
            known = self._open.get(key)
            if known is None:
                continue
            if known.until > now:
                heapq.heappush(self._leases, (known.until, key))
            elif known.ended:
                del self._open[key]
            else:
                self._settle(key[0], known, known.used, now)
                known.tokens, known.ended, known.until = known.used, True, now + KEEP_S
                heapq.heappush(self._leases, (known.until, key))

    def _sweep(self, now: float) -> None:
        """Forget meters that are empty, and charges too old to be repeated: memory follows those who are active."""
        self._meters = {key: held for key, held in self._meters.items() if level(*held, now) > 0}
        self._charges = {key: at for key, at in self._charges.items() if now - at < KEEP_S}
        self._swept = len(self._meters)

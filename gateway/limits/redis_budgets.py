"""Token budgets that all gateways share: each step is one Lua script, atomic in Redis."""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.connection import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.limits.patience import patient
from gateway.limits.store import Claim, Denied, Granted, StoreUnavailable

SCRIPT: Final = "budgets.lua"
_REDIS_CLOCK: Final = -1

_reserved = msgspec.msgpack.Decoder(tuple[int, float, tuple[float, ...]]).decode
_levels = msgspec.msgpack.Decoder(tuple[float, ...]).decode


def connections(url: str, most: int = 64) -> BlockingConnectionPool:
    """A pool where whoever asks ends the waiting, not the pool, and where nothing is tried twice behind our back."""
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url, max_connections=most, timeout=None, socket_timeout=None, retry=Retry(NoBackoff(), 0)
    )
    return pool


class RedisBudgets:
    """See BudgetStore. A step that Redis takes longer for than `timeout_s` raises StoreUnavailable."""

    def __init__(self, pool: BlockingConnectionPool, timeout_s: float, prefix: str = "sluice") -> None:
        self._pool = pool
        self._redis: Redis = Redis(connection_pool=pool)
        self._timeout_s, self._prefix = timeout_s, prefix
        self._script = self._redis.register_script(files(__package__).joinpath(SCRIPT).read_text(encoding="utf-8"))

    async def reserve(
        self,
        tenant: str,
        reservation: str,
        claims: Sequence[Claim],
        tokens: int,
        lease_s: float,
        now: float | None = None,
    ) -> Granted | Denied:
        raw = await self._step("reserve", tenant, now, reservation, _raw(claims), tokens, lease_s)
        claim, wait, used = _reserved(raw)
        return Granted(used) if claim < 0 else Denied(claim, None if wait < 0 else wait, used)

    async def settle(self, tenant: str, used: Mapping[str, int], now: float | None = None) -> None:
        await self._step("settle", tenant, now, list(used.items()))

    async def renew(self, tenant: str, used: Mapping[str, int], lease_s: float, now: float | None = None) -> None:
        await self._step("renew", tenant, now, list(used.items()), lease_s)

    async def charge(
        self, tenant: str, charge: str, claims: Sequence[Claim], tokens: int, now: float | None = None
    ) -> None:
        await self._step("charge", tenant, now, charge, _raw(claims), tokens)

    async def used(self, tenant: str, claims: Sequence[Claim], now: float | None = None) -> tuple[float, ...]:
        return _levels(await self._step("used", tenant, now, _raw(claims)))

    async def ping(self) -> None:
        async with self._timely():
            await self._redis.ping()

    async def close(self) -> None:
        await self._pool.disconnect()

    async def _step(self, step: str, tenant: str, now: float | None, *arguments: Any) -> bytes:
        packed = msgspec.msgpack.encode((_REDIS_CLOCK if now is None else now, *arguments))
        async with self._timely():
            answer: bytes = await self._script(keys=[self._base(tenant)], args=[step, packed])
        return answer

    def _base(self, tenant: str) -> str:
        """A tenant's name may hold anything, braces too; its hash cannot leave the hash tag."""
        return f"{self._prefix}:{{{hashlib.sha256(tenant.encode()).hexdigest()[:24]}}}:"

    @asynccontextmanager
    async def _timely(self) -> AsyncIterator[None]:
        try:
            async with patient(self._timeout_s):
                yield
        except (RedisError, OSError, TimeoutError) as exc:
            raise StoreUnavailable(f"{type(exc).__name__}: {exc}") from exc


def _raw(claims: Sequence[Claim]) -> list[tuple[str, int, float, str]]:
    return [(meter, budget.limit, budget.period_s, str(budget.refill)) for meter, budget in claims]

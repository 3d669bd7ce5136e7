"""Request windows: slowapi's Limiter holds the rules and counts in this process, `limits.aio` counts in Redis.

Both are asked by identity from our own layer. A request passes all windows or counts in none; only two requests that
meet at the last place of a shared window may find that one of them has counted in the windows before it.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import quote

from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from slowapi import Limiter

from gateway.limits.patience import patient
from gateway.limits.policy import Subject, WindowRule
from gateway.limits.sliding import Counters
from gateway.limits.store import StoreUnavailable
from gateway.limits.window_memory import SCHEME, WindowMemory

STRATEGY = "sliding-window-counter"


class Passed(NamedTuple):
    """The window with the least left, this request counted: `reset_s` seconds until it is as if unused."""

    limit: int
    remaining: int
    reset_s: float


class Full(NamedTuple):
    """The window that stands in the way longest."""

    rule: WindowRule
    wait_s: float
    reset_s: float


class Windows(Protocol):
    async def enter(self, subject: Subject, rules: Sequence[WindowRule]) -> Passed | Full | None:
        """None where no rule applies. May raise StoreUnavailable."""
        ...


class LocalWindows:
    """`share` scales every rule: the part of one gateway of several that cannot ask each other."""

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        options = {"clock": clock}
        self._limiter = Limiter(
            key_func=lambda: "",
            strategy=STRATEGY,
            storage_uri=f"{SCHEME}://",
            storage_options=options,  # type: ignore[arg-type]  # typed for storages that live elsewhere
        )
        storage = self._limiter.limiter.storage
        assert isinstance(storage, WindowMemory)
        self._storage, self._share, self._clock = storage, share, clock

    async def enter(self, subject: Subject, rules: Sequence[WindowRule]) -> Passed | Full | None:
        storage, now = self._storage, self._clock()
        keys: dict[str, int] = {}
        found: list[tuple[WindowRule, Counters]] = []
        for rule in rules if self._share == 1 else map(self._scaled, rules):
            if (name := rule.identity(subject)) is not None:
                window_s = rule.item.get_expiry()
                # The name comes last, so it may hold anything.
                key = f"{rule.scope}/{rule.item.amount}/{window_s}/{name}"
                keys[key] = window_s
                found.append((rule, storage.counters(key, window_s, now)))
        outcome = _judged(found)
        if isinstance(outcome, Passed):
            for key, window_s in keys.items():
                storage.count(key, window_s, now)
        return outcome

    def _scaled(self, rule: WindowRule) -> WindowRule:
        item = rule.item
        return WindowRule(rule.scope, type(item)(max(1, int(item.amount * self._share)), item.multiples))


class RedisWindows:
    """All gateways count together. A step that Redis takes longer for than `timeout_s` raises StoreUnavailable."""

    def __init__(self, url: str, pool: object, timeout_s: float, prefix: str = "sluice") -> None:
        self._storage = RedisStorage(
            f"async+{url}",
            implementation="redispy",
            key_prefix=f"{prefix}:window",
            wrap_exceptions=True,
            connection_pool=pool,  # type: ignore[arg-type]  # handed on to redis-py
        )
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._timeout_s = timeout_s

    async def enter(self, subject: Subject, rules: Sequence[WindowRule]) -> Passed | Full | None:
        applying = list(_applying(rules, subject))
        try:
            async with patient(self._timeout_s):
                found = [(rule, await self._counters(rule, name)) for rule, name in applying]
                outcome = _judged(found)
                if isinstance(outcome, Passed):
                    for rule, name in applying:
                        if not await self._limiter.hit(rule.item, rule.scope, name):
                            return _judged([(rule, await self._counters(rule, name))], full=True)
                return outcome
        except (StorageError, OSError, TimeoutError) as exc:
            raise StoreUnavailable(f"{type(exc).__name__}: {exc}") from exc

    async def _counters(self, rule: WindowRule, name: str) -> Counters:
        return Counters(
            *await self._storage.get_sliding_window(rule.item.key_for(rule.scope, name), rule.item.get_expiry())
        )


def _applying(rules: Sequence[WindowRule], subject: Subject) -> list[tuple[WindowRule, str]]:
    """An identity is quoted: it may hold the separators of a window's key."""
    named = [(rule, rule.identity(subject)) for rule in rules]
    return [(rule, name if name.isalnum() else quote(name, safe="")) for rule, name in named if name is not None]


def _judged(found: Sequence[tuple[WindowRule, Counters]], *, full: bool = False) -> Passed | Full | None:
    if not found:
        return None
    waits = [counters.free_in(rule.item.amount, rule.item.get_expiry()) for rule, counters in found]
    wait = max(waits)
    if wait > 0 or full:
        rule, counters = found[waits.index(wait)]
        return Full(rule, wait, counters.full_in())
    remaining = [counters.remaining(rule.item.amount, rule.item.get_expiry()) for rule, counters in found]
    least = min(remaining)
    rule, counters = found[remaining.index(least)]
    # Redis begins a window with the first request in it, and forgets it when the next one is over.
    return Passed(
        rule.item.amount, least - 1, counters.current_s if counters.current_s > 0 else 2.0 * rule.item.get_expiry()
    )

"""The counters of LocalWindows, as a storage for `limits`.

Its own memory storage starts a thread for every hundredth of a second in which a request comes, and that thread looks
at every counter there is. Here forgetting is part of counting: now and then a hit sweeps what is over.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from limits.storage.base import SlidingWindowCounterSupport, Storage

from gateway.limits.sliding import Counters

SCHEME: Final = "sluice-memory"


class WindowMemory(Storage, SlidingWindowCounterSupport):
    """Window number → count for each key; the windows are aligned with the clock."""

    STORAGE_SCHEME: Final = [SCHEME]  # type: ignore[misc]  # how limits finds it

    def __init__(
        self, uri: str | None = None, wrap_exceptions: bool = False, *, clock: Callable[[], float] = time.time, **_: Any
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._clock = clock
        self._counts: dict[str, tuple[int, int, int, int]] = {}
        self._swept = 0

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def counters(self, key: str, expiry: int, now: float) -> Counters:
        _, previous, current = self._at(key, expiry, now)
        left = _left(expiry, now)
        return Counters(previous, left, current, left + expiry)

    def count(self, key: str, expiry: int, now: float, amount: int = 1) -> None:
        """Without asking whether there is room."""
        window, previous, current = self._at(key, expiry, now)
        if len(self._counts) > 2 * self._swept + 1000:
            self._sweep(now)
        self._counts[key] = (expiry, window, previous, current + amount)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._clock()
        if self.counters(key, expiry, now).remaining(limit, expiry) < amount:
            return False
        self.count(key, expiry, now, amount)
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        return self.counters(key, expiry, self._clock())

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002  # a key holds its expiry already
        self.clear(key)

    def _at(self, key: str, expiry: int, now: float) -> tuple[int, int, int]:
        """(window, count in the one before, count in it)"""
        window = int(now // expiry)
        _, seen, previous, current = self._counts.get(key, (expiry, window, 0, 0))
        # A clock that was set back over a boundary does not open the window before it again.
        if seen in (window, window + 1):
            return seen, previous, current
        return window, current if seen == window - 1 else 0, 0

    def _sweep(self, now: float) -> None:
        self._counts = {key: held for key, held in self._counts.items() if held[1] >= now // held[0] - 1}
        self._swept = len(self._counts)

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        return self._counts.get(key, (0, 0, 0, 0))[3]

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._counts)
        self._counts.clear()
        return count

    def clear(self, key: str) -> None:
        self._counts.pop(key, None)


def _left(expiry: int, now: float) -> float:
    """Seconds until the window after this one begins."""
    return expiry - now % expiry

"""What a key at level THROTTLE may still do: a part of what it used to, never more than few requests a minute, few at a time.

A rate for everyone is none for a hydra, whose keys each ask once in a quarter of an hour. Pure; one per gateway.
"""

from collections import Counter
from typing import Final

HOUR_S: Final = 3600.0


class Throttle:
    """A bucket for each key that holds an hour's requests, and no more than a minute's at the highest rate. `share`: of the key's
    pace at all gateways, that this one grants.
    """

    def __init__(self, per_minute: float, concurrency: int, share: float) -> None:
        self._rate, self._concurrency, self._share = per_minute / 60, concurrency, share
        self._room = max(1.0, per_minute)
        self._spent: dict[str, tuple[float, float]] = {}
        self._running: Counter[str] = Counter()

    def enter(self, key: str, now: float, pace: float = 0.0) -> float | None:
        """Seconds to wait until a request may be let in; None if this one is, and then it must `leave`. `pace`: requests per
        second of the key before it was throttled; 0 if that is not known.
        """
        rate = min(self._rate, self._share * pace) if pace else self._rate
        room = max(1.0, min(self._room, rate * HOUR_S))
        spent, at = self._spent.get(key, (0.0, now))
        spent = max(0.0, spent - rate * max(0.0, now - at))
        if spent + 1 > room:
            return (spent + 1 - room) / rate
        if self._running[key] >= self._concurrency:
            return 1.0
        self._spent[key] = (spent + 1, now)
        self._running[key] += 1
        return None

    def leave(self, key: str) -> None:
        self._running[key] -= 1
        if self._running[key] <= 0:
            del self._running[key]

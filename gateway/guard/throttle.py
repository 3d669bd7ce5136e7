"""What a key at level THROTTLE may still do: few requests a minute, few at a time. Pure; one per gateway."""

from collections import Counter


class Throttle:
    """A bucket for each key that holds one minute's requests."""

    def __init__(self, per_minute: float, concurrency: int) -> None:
        self._rate, self._concurrency = per_minute / 60, concurrency
        self._room = max(1.0, per_minute)
        self._spent: dict[str, tuple[float, float]] = {}
        self._running: Counter[str] = Counter()

    def enter(self, key: str, now: float) -> float | None:
        """Seconds to wait until a request may be let in; None if this one is, and then it must `leave`."""
        spent, at = self._spent.get(key, (0.0, now))
        spent = max(0.0, spent - self._rate * max(0.0, now - at))
        if spent + 1 > self._room:
            return (spent + 1 - self._room) / self._rate
        if self._running[key] >= self._concurrency:
            return 1.0
        self._spent[key] = (spent + 1, now)
        self._running[key] += 1
        return None

    def leave(self, key: str) -> None:
        self._running[key] -= 1
        if self._running[key] <= 0:
            del self._running[key]

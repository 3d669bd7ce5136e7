"""What is normal at each time of the day: a random sample of requests for each slot of the period, learned and then kept."""

from typing import NamedTuple

import numpy as np

from gateway.drift.features import SAMPLE, Samples


class Season(NamedTuple):
    """`period_s` after which traffic repeats itself, None if it does not, in `slots` parts with `size` requests each. A slot
    learns for `learn_s` seconds from the first request on, and on until it is full; from then on, and with `least` requests, it
    is a reference.
    """

    period_s: float | None
    slots: int
    learn_s: float
    size: int
    least: int


class Reference:
    """Bounded: `slots` × `size` rows of SAMPLE. Each request of a slot's learning time is in it with the same probability
    (Vitter's algorithm R).
    """

    def __init__(self, season: Season) -> None:
        self.season = season
        slots = 1 if season.period_s is None else season.slots
        self.rows: Samples = np.zeros((slots, season.size), dtype=SAMPLE)
        self.seen = np.zeros(slots, dtype=np.int64)
        self.begun: float | None = None
        self.version = ""

    def slots_of(self, at: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The slots of some times, in seconds since the epoch."""
        if self.season.period_s is None:
            return np.zeros(len(at), dtype=np.int64)
        return (at % self.season.period_s / self.season.period_s * self.season.slots).astype(np.int64)

    def learning(self, now: float) -> bool:
        return self.begun is None or now < self.begun + self.season.learn_s

    def learn(self, row: Samples, version: str, now: float, rng: np.random.Generator) -> None:
        """Take a row of SAMPLE, if its slot still learns."""
        if self.begun is None:
            self.begun, self.version = now, version
        slot = int(self.slots_of(row["at"])[0])
        seen = int(self.seen[slot])
        if not self.learning(now) and seen >= self.season.size:
            return
        place = seen if seen < self.season.size else int(rng.integers(seen + 1))
        if place < self.season.size:
            self.rows[slot, place] = row[0]
        self.seen[slot] += 1

    def known(self, now: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which slots are a reference."""
        return (self.seen >= self.season.least) & (not self.learning(now))

    def like(self, slots: np.ndarray[tuple[int], np.dtype[np.int64]], rng: np.random.Generator) -> Samples:
        """As many requests as one slot holds, with the times of day mixed as in `slots`: what would have been normal then."""
        numbers, counts = np.unique(slots, return_counts=True)
        parts = []
        for slot, count in zip(numbers, counts, strict=True):
            there = min(int(self.seen[slot]), self.season.size)
            wanted = min(there, max(1, round(self.season.size * count / len(slots))))
            parts.append(self.rows[slot, rng.permutation(there)[:wanted]])
        return np.concatenate(parts)

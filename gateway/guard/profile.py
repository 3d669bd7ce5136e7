"""One subject's day in a fixed number of bytes (about 6 KB): counters that add, sketches that take the maximum.

Two gateways' profiles of the same key and day merge into what one gateway would have seen, but for `edits`, `gaps` and
`late`, which each counts between its own requests.
"""

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from gateway.guard import distinct
from gateway.guard.lexicon import Hit
from gateway.guard.marks import SHINGLES, TOPIC_BITS, Marks
from gateway.guard.observation import Observation
from gateway.guard.rff import FEATURES, Window
from gateway.guard.templates import Templates

DAY_S: Final = 86_400
RING: Final = 32
EDIT_BITS: Final = 10
"""Two texts whose SimHashes differ in so few of 64 bits, and at all, are edits of each other."""
BURST_S: Final = 2
COUNTERS: Final = tuple(
    """requests prompt completion greedy seeded several logprobs scalars biased constrained short refused
    instruction reasoning probing cut long_turns shingles
    replayed edits twins gaps log_gaps log_gaps2""".split()
)
COUNTED: Final = COUNTERS.index("shingles") + 1
"""So many are counted for every answered request, in this order, in `take`."""
_AT: Final = {name: place for place, name in enumerate(COUNTERS)}
REFUSED: Final = [_AT[name] for name in ("requests", "refused", "probing")]
GAPS: Final = slice(_AT["gaps"], _AT["gaps"] + 3)
"""Their number, and the sums of their logarithms and of the squares of these."""


@dataclass(slots=True)
class Profile:
    """`day` counts days since the epoch, UTC. `burst`: the most edits within BURST_S seconds; `lately`: which such time it is, and
    the edits in it. `rush`, `minute`: the same for tokens of answers within a minute. `ring`: the last texts that were answered,
    and the last that were refused.
    """

    tenant: str
    day: int
    counters: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(COUNTERS)))
    texts: distinct.Registers = field(default_factory=lambda: distinct.empty(8))
    shingles: distinct.Registers = field(default_factory=lambda: distinct.empty(SHINGLES))
    biases: distinct.Registers = field(default_factory=lambda: distinct.empty(6))
    samplings: distinct.Registers = field(default_factory=lambda: distinct.empty(6))
    topics: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((1 << TOPIC_BITS) // 8, np.uint8))
    said: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(512, np.uint8))
    minutes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(180, np.uint8))
    phi: NDArray[np.float32] = field(default_factory=lambda: np.zeros(FEATURES, np.float32))
    squares: float = 0.0
    templates: Templates = field(default_factory=Templates)
    begun: float = 0.0
    last: float = 0.0
    ring: NDArray[np.uint64] = field(default_factory=lambda: np.zeros((2, RING), np.uint64))
    rung: list[int] = field(default_factory=lambda: [0, 0])
    lately: tuple[int, int] = (0, 0)
    burst: int = 0
    minute: tuple[int, float] = (0, 0.0)
    rush: float = 0.0

    def get(self, name: str) -> float:
        return float(self.counters[_AT[name]])

    @property
    def answered(self) -> float:
        return self.get("requests") - self.get("refused")

    def share(self, name: str) -> float:
        """Of what was answered, and all of it at most; of `refused`, of all requests."""
        of = self.get("requests") if name == "refused" else self.answered
        return min(1.0, self.get(name) / max(1.0, of))

    @property
    def window(self) -> Window:
        return Window(self.answered, self.phi, self.squares)

    def take(self, seen: Observation, marks: Marks, phi: NDArray[np.float32], elsewhere: Iterable[Self] = ()) -> bool:
        """Whether it asks for reasoning. `elsewhere`: where a conversation that goes on here may have been had: other gateways, the
        account's other keys.

        A refused request costs nothing: it is counted, and so is its probing, and it teaches nothing.
        """
        refused = seen.status >= 400
        self.begun = self.begun or seen.at
        self._edits(marks.simhash, int(seen.at // BURST_S), refused=refused)
        if refused:
            self.counters[REFUSED] += (1, 1, marks.probing)
            return False
        asked = self._orders(marks)
        reasoning = marks.reasoning or Hit.REASONING in asked
        self.counters[:COUNTED] += (
            1,
            seen.prompt_tokens,
            seen.completion_tokens,
            seen.temperature == 0,
            seen.seed,
            seen.n > 1,
            seen.logprobs > 0,
            seen.logprobs * seen.completion_tokens,
            len(seen.bias) > 0,
            seen.constrained,
            seen.completion_tokens <= 4,
            0,
            marks.instruction,
            reasoning,
            marks.probing or Hit.PROBING in asked,
            seen.finish == "length",
            marks.turns > 1,
            len(marks.shingles[0]),
        )
        self._timing(seen.at)
        this, tokens = int(seen.at // 60), float(seen.completion_tokens)
        self.minute = (this, self.minute[1] + tokens if self.minute[0] == this else tokens)
        self.rush = max(self.rush, self.minute[1])
        self._history(marks, elsewhere)
        distinct.add(self.texts, marks.whole)
        distinct.add_placed(self.shingles, *marks.shingles)
        for token in seen.bias[:64]:
            distinct.add(self.biases, _spread(token))
        distinct.add(self.samplings, _way(seen.temperature, seen.top_p, seen.max_tokens, seen.n))
        _set(self.topics, marks.topic)
        for template in marks.templates:
            self.templates.add(template, marks.text)
        self.phi += phi
        self.squares += float(phi @ phi)
        return reasoning

    def _timing(self, at: float) -> None:
        _set(self.minutes, int(at % DAY_S // 60))
        if self.last and at > self.last:
            gap = math.log(max(1e-3, at - self.last))
            self.counters[GAPS] += (1.0, gap, gap * gap)
        self.last = max(self.last, at)

    def _edits(self, simhash: int, now: int, *, refused: bool) -> None:
        ring, rung = self.ring[int(refused)], self.rung[refused]
        near = np.bitwise_count(ring[:rung] ^ np.uint64(simhash))
        if (near[near > 0] <= EDIT_BITS).any():
            self.counters[_AT["edits"]] += 1
            self.lately = (now, self.lately[1] + 1 if self.lately[0] == now else 1)
            self.burst = max(self.burst, self.lately[1])
        ring[rung % RING] = simhash
        self.rung[refused] += 1

    def _orders(self, marks: Marks) -> Hit:
        """What is asked for beside the conversation, the first time that it is said."""
        found, places = Hit.NONE, len(self.said) * 8
        for name, hit in marks.orders:
            if not _has(self.said, name % places):
                found |= hit
                _set(self.said, name % places)
        return found

    def _history(self, marks: Marks, elsewhere: Iterable[Self]) -> None:
        """A history with a question that was not asked here was had at another service, or made up; it counts once. One that
        is cut, as editors do, is none.
        """
        places, here = len(self.said) * 8, [self.said, *(each.said for each in elsewhere)]
        if not all(any(_has(said, name % places) for said in here) for name in marks.history):
            self.counters[_AT["replayed"]] += 1
        for name in (*marks.history, *marks.asked):
            _set(self.said, name % places)

    def twin(self) -> None:
        """This request was, but for little, another's."""
        self.counters[_AT["twins"]] += 1

    def merge(self, other: Self) -> None:
        self.counters += other.counters
        for ours, theirs in (
            (self.texts, other.texts),
            (self.shingles, other.shingles),
            (self.biases, other.biases),
            (self.samplings, other.samplings),
        ):
            np.maximum(ours, theirs, out=ours)
        for ours, theirs in ((self.topics, other.topics), (self.said, other.said), (self.minutes, other.minutes)):
            np.bitwise_or(ours, theirs, out=ours)
        self.phi += other.phi
        self.squares += other.squares
        self.templates.merge(other.templates)
        self.begun = min(self.begun or other.begun, other.begun or self.begun)
        self.last = max(self.last, other.last)
        self.burst = max(self.burst, other.burst)
        self.rush = max(self.rush, other.rush)


def bits_set(bitmap: NDArray[np.uint8]) -> int:
    return int(np.bitwise_count(bitmap).sum())


def _set(bitmap: NDArray[np.uint8], place: int) -> None:
    bitmap[place >> 3] |= 1 << (place & 7)


def _has(bitmap: NDArray[np.uint8], place: int) -> bool:
    return bool(bitmap[place >> 3] >> (place & 7) & 1)


@lru_cache(4096)
def _way(*settings: float | None) -> int:
    """A name for one way of sampling."""
    return _spread(zlib.crc32(repr(settings).encode()))


def _spread(value: int) -> int:
    """SplitMix64's finaliser on one number."""
    value &= 0xFFFFFFFFFFFFFFFF
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return value ^ (value >> 31)

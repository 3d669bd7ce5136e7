"""Which replica holds which prompt prefixes: block hash → set of replicas, a mirror of caches that nobody here can see.

Recorded when a request is dispatched. What a replica evicts is guessed by doing as vLLM does: per replica a list of blocks by
last use, the tail of a prompt older than its head, the oldest dropped beyond a capacity. The capacity starts at the size of
the KV cache, and what replicas report of finished prefills corrects it both ways (`correct`): generated tokens and other
gateways' prompts live in the same cache, and nobody here counts them.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import repeat
from typing import NamedTuple

MAX_ENTRIES = 250_000
"""Pairs of block and replica, at about 200 bytes each: 60 caches of a million tokens."""
_SWEEP = 64
_NOBODY = repeat(0)


class Match(NamedTuple):
    """How many leading blocks of a prompt the replicas are believed to hold: `common` all of them, those in `deeper` so many."""

    common: int
    deeper: dict[str, int]


@dataclass(slots=True, eq=False)
class _Mirror:
    """One replica's cache: block → number of the record that used it last, oldest first; negative until it was seen computed."""

    bit: int
    capacity: int
    largest: int
    blocks: OrderedDict[int, int] = field(default_factory=OrderedDict)


class PrefixIndex:
    """At most `max_entries` pairs (block, replica). Blocks are whatever hashes the caller chains; all operations are amortised
    O(blocks of the prompt), and `remove` is O(1): what a dead replica leaves is swept up by later records.
    """

    def __init__(self, max_entries: int = MAX_ENTRIES) -> None:
        self._max_entries = max_entries
        self._entries = 0
        self._records = 0
        self._holders: dict[int, int] = {}
        self._mirrors: dict[str, _Mirror] = {}
        self._names: dict[int, str] = {}
        self._alive = 0
        self._dead: list[_Mirror] = []

    def __len__(self) -> int:
        return self._entries

    def __contains__(self, engine_id: str) -> bool:
        return engine_id in self._mirrors

    def add(self, engine_id: str, capacity: int) -> None:
        """A replica whose cache holds `capacity` blocks at most."""
        used = self._alive
        for mirror in self._dead:
            used |= mirror.bit
        bit = ~used & (used + 1)
        self._mirrors[engine_id] = _Mirror(bit, capacity, capacity)
        self._names[bit] = engine_id
        self._alive |= bit

    def remove(self, engine_id: str) -> None:
        """Forget a replica, if it is known."""
        mirror = self._mirrors.pop(engine_id, None)
        if mirror is not None:
            self._alive &= ~mirror.bit
            del self._names[mirror.bit]
            self._dead.append(mirror)

    def capacity(self, engine_id: str) -> int:
        """Blocks that the replica is believed to keep. Raises KeyError for a stranger."""
        return self._mirrors[engine_id].capacity

    def match(self, blocks: list[int]) -> Match:
        """A system prompt is held by all, so that only who holds more has to be named."""
        deeper: dict[str, int] = {}
        alive = holding = self._alive
        common = 0
        for depth, holders in enumerate(map(self._holders.get, blocks, _NOBODY)):
            if holders != holding and (still := holders & holding) != holding:
                if holding == alive:
                    common = depth
                else:
                    self._name(holding ^ still, depth, deeper)
                holding = still
                if not still:
                    return Match(common, deeper)
        if holding == alive:
            return Match(len(blocks), deeper)
        self._name(holding, len(blocks), deeper)
        return Match(common, deeper)

    def record(self, engine_id: str, blocks: list[int]) -> int:
        """A prompt went there. Returns what `correct` needs to know of the deepest block held before: the record that last used
        it, negative if nobody saw it computed, 0 if there was none. Raises KeyError for a stranger.
        """
        mirror = self._mirrors[engine_id]
        held, holders, bit = mirror.blocks, self._holders, mirror.bit
        self._records += 1
        record = self._records
        before = 0
        for block in reversed(blocks):
            last = held.get(block)
            if last is None:
                holders[block] = holders.get(block, 0) | bit
                self._entries += 1
                held[block] = -record
            else:
                before = before or last
                held[block] = record if last > 0 else -record
                held.move_to_end(block)
        while len(held) > mirror.capacity:
            self._drop_oldest(mirror)
        if self._dead:
            self._sweep(_SWEEP)
        while self._entries > self._max_entries:
            left = [mirror for mirror in self._dead if mirror.blocks] or self._mirrors.values()
            self._drop_oldest(max(left, key=lambda mirror: len(mirror.blocks)))
        return before

    def correct(self, engine_id: str, blocks: list[int], believed: int, found: int, before: int) -> None:
        """A prompt was computed there, and `found` of its leading blocks were in the cache where `match` had said `believed`;
        `before` is from `record`.

        Fewer, by more than the rounding of one block: it evicts sooner than believed. By the order of eviction everything last
        used as long ago as the missing blocks is gone, so it is dropped, and the capacity is less than what is left; an eighth at
        a time, so that one odd report does little. Not if those blocks were never seen computed: then they are missing because a
        client went away, which nobody shall use to make the index forget. More: it keeps longer than believed, by that much.
        """
        mirror = self._mirrors.get(engine_id)
        if mirror is None:
            return
        held = mirror.blocks
        if found > believed:
            mirror.capacity = min(mirror.largest, mirror.capacity + found - believed)
        elif found < believed - 1 and before > 0:
            least = len(held) - len(held) // 8
            while len(held) > least and abs(next(iter(held.values()))) <= before:
                self._drop_oldest(mirror)
            mirror.capacity = max(1, len(held) - (believed - found), mirror.capacity - mirror.capacity // 8)
        for block in blocks:
            if (record := held.get(block, 0)) < 0:
                held[block] = -record

    def _drop_oldest(self, mirror: _Mirror) -> None:
        block, _ = mirror.blocks.popitem(last=False)
        left = self._holders[block] & ~mirror.bit
        if left:
            self._holders[block] = left
        else:
            del self._holders[block]
        self._entries -= 1

    def _sweep(self, most: int) -> None:
        while self._dead and most:
            mirror = self._dead[-1]
            for _ in range(min(most, len(mirror.blocks))):
                self._drop_oldest(mirror)
                most -= 1
            if not mirror.blocks:
                self._dead.pop()

    def _name(self, bits: int, depth: int, found: dict[str, int]) -> None:
        names = self._names
        while bits not in names:
            bit = bits & -bits
            found[names[bit]] = depth
            bits ^= bit
        found[names[bits]] = depth

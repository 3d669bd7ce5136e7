"""A model of an engine replica: prompts are prefilled in order of arrival, its cache holds blocks by last use."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from loadtests.simulation.mooncake import BLOCK_TOKENS, Arrival


class Served(NamedTuple):
    """Times in seconds; `uncached` prompt tokens had to be computed."""

    found_blocks: int
    uncached: int
    first_output_at: float
    ends_at: float


class Engine:
    """Prefill goes at `prefill_rate` tokens/s, one prompt after the other; then `decode_rate` tokens/s for each stream, however
    many there are. `cache_blocks` None: the cache never forgets. Generated tokens are not cached, as the trace does not name them.
    """

    def __init__(self, prefill_rate: float, decode_rate: float, cache_blocks: int | None) -> None:
        self._prefill_rate = prefill_rate
        self._decode_rate = decode_rate
        self._cache_blocks = cache_blocks
        self._cache: OrderedDict[int, None] = OrderedDict()
        self._free_at = 0.0
        self.work = 0
        """Tokens computed: uncached prompt tokens and output."""

    def serve(self, arrival: Arrival, now: float) -> Served:
        found = self._use(arrival.hash_ids)
        uncached = max(1, arrival.input_length - found * BLOCK_TOKENS)
        self._free_at = max(now, self._free_at) + uncached / self._prefill_rate
        self.work += uncached + arrival.output_length
        ends_at = self._free_at + arrival.output_length / self._decode_rate
        return Served(found, uncached, self._free_at, ends_at)

    def _use(self, blocks: Sequence[int]) -> int:
        """Leading blocks that were there; afterwards all are, the tail older than the head, as in vLLM."""
        found = next((depth for depth, block in enumerate(blocks) if block not in self._cache), len(blocks))
        for block in reversed(blocks):
            self._cache[block] = None
            self._cache.move_to_end(block)
        while self._cache_blocks is not None and len(self._cache) > self._cache_blocks:
            self._cache.popitem(last=False)
        return found

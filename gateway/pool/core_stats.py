"""What an engine core's scheduler says of itself, kept until a gateway asks: once a heartbeat, not once a step. Pure."""

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class CoreStats:
    """Of the last step that told any; `prefix_*` are totals in tokens. A core that has nothing to do says nothing."""

    known: bool = False
    waits: int = 0
    filled: float = 0.0
    prefix_queries: int = 0
    prefix_hits: int = 0

    def take(self, stats: Any) -> None:
        """vLLM's SchedulerStats; None where its statistics are off."""
        if stats is None:
            return
        self.known = True
        self.waits = stats.num_waiting_reqs + stats.num_skipped_waiting_reqs
        self.filled = stats.kv_cache_usage
        self.prefix_queries += stats.prefix_cache_stats.queries
        self.prefix_hits += stats.prefix_cache_stats.hits

    def waiting(self, unstarted: int) -> int:
        """Requests without a place in the batch. `unstarted` have given no token yet, and are the most that can be waiting."""
        return min(self.waits, unstarted) if self.known else unstarted

    def kv_use(self, reckoned: float, requests: int) -> float:
        """The core's word goes before what has been reckoned from outside, while it has work to speak of."""
        return self.filled if self.known and requests else reckoned

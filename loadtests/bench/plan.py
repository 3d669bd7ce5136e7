"""What is measured, how often and how long."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

BARE: Final = "bare vLLM"
OWN: Final = "Sluice, own port"
HAPROXY: Final = "Sluice, HAProxy"
DOORS: Final = (BARE, OWN, HAPROXY)

HEADLINE: Final = 64
MAX_TOKENS: Final = 64


@dataclass(frozen=True)
class Plan:
    """`pairs` rounds at the headline point; the other points take fewer."""

    streams: tuple[int, ...] = (1, 16, 64, 128)
    pairs: int = 7
    side_pairs: int = 3
    single_pairs: int = 5
    pinned_pairs: int = 3
    warmups: int = 256
    idle_s: float = 15.0
    samples_compared: int = 24
    alone: int = 3
    batching: bool = True
    shrink: int = 1

    def rounds(self, streams: int) -> int:
        if streams == HEADLINE:
            return self.pairs
        return min(self.pairs, self.single_pairs if streams == 1 else self.side_pairs)

    def requests(self, streams: int) -> int:
        """Enough for some seconds under load on a small machine."""
        size = {1: 64, 16: 256}.get(streams, max(512, 6 * streams))
        return max(streams, size // self.shrink)


QUICK: Final = Plan(
    streams=(1, 64),
    pairs=2,
    single_pairs=2,
    pinned_pairs=1,
    warmups=64,
    idle_s=5.0,
    samples_compared=4,
    alone=0,
    batching=False,
    shrink=4,
)


def order(pair: int) -> Iterator[str]:
    """All doors, each first, second and last in turn, so that no door always runs on a warmer machine."""
    return (DOORS[(pair + step) % len(DOORS)] for step in range(len(DOORS)))


def prompt_seed(seed: int, streams: int, pair: int, door: str, *, pinned: bool = False) -> int:
    """Bare vLLM and Sluice's own port get the same prompts. HAProxy leads to an engine that has seen those: it gets others."""
    digits = (seed, streams, pair, int(pinned), int(door == HAPROXY))
    return sum(digit * weight for digit, weight in zip(digits, (10_000_000, 10_000, 10, 2, 1), strict=True))

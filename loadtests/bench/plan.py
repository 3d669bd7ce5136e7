"""What is measured, how often and how long."""

import dataclasses
from dataclasses import dataclass
from typing import Final

BARE: Final = "bare vLLM"
OWN: Final = "Sluice, own port"
HAPROXY: Final = "Sluice, HAProxy"
DOORS: Final = (OWN, HAPROXY)
"""Each is measured in a phase of its own, with a Sluice of its own, in pairs with the same bare vLLM."""

HEADLINE: Final = 64
MAX_TOKENS: Final = 64
WARM_UP, COMPARISON, WAKING = 901, 902, 903
"""Numbers of rounds that are no pairs, as far as their prompts go."""


@dataclass(frozen=True)
class Plan:
    """`pairs` rounds at the headline point of each phase; the other points take fewer."""

    streams: tuple[int, ...] = (1, 16, 64, 128)
    pairs: int = 5
    side_pairs: int = 3
    pinned_pairs: int = 2
    warmups: int = 256
    idle_s: float = 15.0
    samples_compared: int = 16
    batching: bool = True
    noisy_rounds: int = 6
    tracing_pairs: int = 24
    shrink: int = 1

    def rounds(self, streams: int) -> int:
        return self.pairs if streams == HEADLINE else min(self.pairs, self.side_pairs)

    def requests(self, streams: int) -> int:
        """Enough for some seconds under load on a small machine."""
        size = {1: 64, 16: 256}.get(streams, max(512, 6 * streams))
        return max(streams, size // self.shrink)

    def with_options(self, streams: tuple[int, ...] | None, pairs: int | None, *, compare: bool = False) -> "Plan":
        """As a person asked for; None leaves a choice as it is. `compare`: with bare vLLM, and nothing else."""
        plan = dataclasses.replace(
            self,
            streams=self.streams if streams is None else streams,
            pairs=self.pairs if pairs is None else pairs,
        )
        return dataclasses.replace(plan, batching=False, noisy_rounds=0, tracing_pairs=0) if compare else plan


QUICK: Final = Plan(
    streams=(1, 64),
    pairs=2,
    pinned_pairs=1,
    warmups=64,
    idle_s=5.0,
    samples_compared=4,
    batching=False,
    noisy_rounds=0,
    tracing_pairs=0,
    shrink=8,
)


def order(door: str, pair: int) -> tuple[str, str]:
    """Each side goes first in turn, so that none always runs on a warmer machine."""
    return (BARE, door) if pair % 2 == 0 else (door, BARE)


def prompt_seed(seed: int, phase: str, streams: int, pair: int, *, pinned: bool = False) -> int:
    """The same for both sides of a pair; no engine sees a prompt twice."""
    digits = (seed, streams, pair, int(pinned), DOORS.index(phase))
    return sum(digit * weight for digit, weight in zip(digits, (100_000_000, 10_000, 4, 2, 1), strict=True))

"""How much of itself an engine uses, and what it would do with full batches: learned from the steps that it makes. Pure.

An engine step of n sequences that decode and p prompt tokens takes about

    base + each · n + prefill · p   seconds

(weights and launches once, attention and sampling for each sequence, prompts by the token). `base` and `each` are a least-squares
line through the steps without prompts, `prefill` is what the others took more, per prompt token. Work is then priced as it would
cost in full batches, base / batch + each per token decoded and `prefill` per prompt token, so that the price of all work of a
second is the share of the engine in use, also when batches are small and every step is "busy". While only small batches have been
seen, the price of large ones is a guess, and rather too low than too high: it is mended as soon as batches grow.
"""

import math
from typing import NamedTuple

MEMORY_S = 120.0
WINDOW_S = 10.0
FIRST_STEP_S = 0.02


class Speed(NamedTuple):
    """`use`: the share of a full engine that the work of the last seconds took (1: all of it). The price of a prompt token,
    cached ones counted among them, and of a completion token: seconds of a full engine; 0 while unknown.
    """

    use: float
    prompt_s: float
    completion_s: float


class Throughput:
    """One per engine; `slots` are the sequences of a full one. Times are seconds of one clock."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._weight = self._n = self._nn = self._t = self._tn = 0.0
        self._more = self._prompts = self._cached = 0.0
        self._price = self._span = 0.0
        self._at: float | None = None

    def step(self, seconds: float, decoded: int, prompt_tokens: float, steps: float = 1.0) -> None:
        """`steps` equal steps, of `seconds` each, that decoded `decoded` sequences and prefilled `prompt_tokens`."""
        if seconds <= 0 or steps <= 0:
            return
        kept = math.exp(-seconds * steps / MEMORY_S)
        self._weight *= kept
        self._n *= kept
        self._nn *= kept
        self._t *= kept
        self._tn *= kept
        if prompt_tokens:
            self._more = self._more * kept + steps * max(0.0, seconds - self._step_s(decoded))
            self._prompts = self._prompts * kept + steps * prompt_tokens
            self._cached *= kept
        else:
            if not self._weight:
                self._more = self._prompts = self._cached = 0.0
            self._weight += steps
            self._n += steps * decoded
            self._nn += steps * decoded * decoded
            self._t += steps * seconds
            self._tn += steps * decoded * seconds

    def worked(self, now: float, decoded: float, prompt_tokens: float, cached_tokens: float = 0.0) -> None:
        """So much has been done since the last call; `cached_tokens` of prompts cost nothing."""
        self._fade(now)
        self._cached += cached_tokens
        self._price += decoded * self._completion_s() + prompt_tokens * self._prefill_s()

    def speed(self, now: float) -> Speed:
        self._fade(now)
        prompts = self._prompts + self._cached
        prompt_s = self._more / prompts if prompts else 0.0
        use = self._price / self._span if self._span else 0.0
        return Speed(use, prompt_s, self._completion_s() if self._weight else 0.0)

    def _fade(self, now: float) -> None:
        if self._at is None:
            self._at = now
        kept = math.exp((self._at - now) / WINDOW_S)
        self._at = now
        self._price *= kept
        self._span = self._span * kept + WINDOW_S * (1 - kept)

    def _line(self) -> tuple[float, float]:
        """(base, each), neither negative."""
        if self._weight <= 0:
            return FIRST_STEP_S, 0.0
        n, t = self._n / self._weight, self._t / self._weight
        spread = self._nn / self._weight - n * n
        each = max(0.0, (self._tn / self._weight - n * t) / spread) if spread > 0.25 else 0.0
        each = min(each, t / n) if n > 0 else each
        return max(0.0, t - each * n), each

    def _step_s(self, decoded: int) -> float:
        base, each = self._line()
        return base + each * decoded if decoded else 0.0

    def _completion_s(self) -> float:
        base, each = self._line()
        return base / self._slots + each

    def _prefill_s(self) -> float:
        return self._more / self._prompts if self._prompts > 0 else 0.0

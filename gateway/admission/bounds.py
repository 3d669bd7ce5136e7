"""Amounts of waiting work, and bounds on them in number and in tokens."""

from __future__ import annotations

from typing import NamedTuple


class Amount:
    """Requests, and the tokens of work that they stand for."""

    __slots__ = ("requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = 0.0

    def add(self, tokens: float) -> None:
        self.requests += 1
        self.tokens += tokens

    def remove(self, tokens: float) -> None:
        self.requests -= 1
        self.tokens = self.tokens - tokens if self.requests else 0.0


class Bound(NamedTuple):
    requests: float
    tokens: float

    def times(self, factor: float) -> Bound:
        return Bound(factor * self.requests, factor * self.tokens)

    def left(self, *held: Amount) -> Bound:
        requests = self.requests - sum(amount.requests for amount in held)
        return Bound(requests, self.tokens - sum(amount.tokens for amount in held))

    def within(self, other: Bound) -> Bound:
        return Bound(min(self.requests, other.requests), min(self.tokens, other.tokens))

    def fits(self, work: float, *held: Amount) -> bool:
        """Whether one more request of `work` tokens fits beside what is held. Where nothing is held, any does."""
        left = self.left(*held)
        return (left.requests >= 1 and left.tokens >= work) or not any(amount.requests for amount in held)

    def excess(self, work: float, *held: Amount) -> float:
        """Tokens that must leave until it fits."""
        requests = 1 + sum(amount.requests for amount in held)
        tokens = work + sum(amount.tokens for amount in held)
        return max(tokens - self.tokens, (requests - self.requests) * tokens / requests, 0.0)

"""What the limits say of a request: refusals are values, and what was reserved is a permit that is settled once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self

from gateway.limits.headers import Header, State, limit_headers
from gateway.limits.policy import Subject, TokenRule
from gateway.limits.store import Claim


class Reason(StrEnum):
    """Why a request is refused, or a stream ended: a closed vocabulary for headers, metrics and audit alike."""

    REQUESTS = "request_window"
    TOKENS = "token_budget"
    QUOTA = "token_quota"
    TOO_LARGE = "tokens_exceed_budget"
    STORE = "limits_unavailable"


class Refused(NamedTuple):
    """`retry_after_s` is None where waiting does not help. `scope`: key, tenant, address, or gateway for its store."""

    reason: Reason
    message: str
    retry_after_s: float | None
    scope: str
    requests: State | None = None
    tokens: State | None = None

    @property
    def headers(self) -> list[Header]:
        """Retry-After is not among them: the error that carries `retry_after_s` brings it."""
        return limit_headers(self.requests, self.tokens)


@dataclass(slots=True)
class Part:
    """One reservation of a permit; a `local` one is this gateway's alone."""

    reservation: str
    claims: Sequence[Claim]
    tokens: int
    local: bool


@dataclass(slots=True, eq=False)
class Permit:
    """The tokens of one request, from admission to its last: `with permit: …`, and `add` as they come. One claim for each rule.

    Whatever way the block is left, what was used is settled then and the rest given back. `tokens` is for the headers.
    """

    subject: Subject
    rules: tuple[TokenRule, ...]
    claims: Sequence[Claim]
    on_end: Callable[["Permit"], None]
    on_low: Callable[["Permit"], None]
    parts: list[Part] = field(default_factory=list)
    tokens: State | None = None
    low_water: float = float("inf")
    used: int = 0
    exhausted: Reason | None = None
    ended: bool = field(default=False, init=False)

    @property
    def allowance(self) -> int:
        return sum(part.tokens for part in self.parts)

    def add(self, tokens: int) -> bool:
        """Tokens that were used; False if the stream has to end here, for the reason in `exhausted`."""
        self.used = used = self.used + tokens
        if used > self.low_water:
            self.on_low(self)
        return self.exhausted is None or used < self.allowance

    def shares(self) -> dict[str, int]:
        """Reservation → what was used of it; the last one bears whatever exceeds them all."""
        left, shares = self.used, {}
        for part in self.parts:
            shares[part.reservation] = min(left, part.tokens)
            left -= shares[part.reservation]
        if left and self.parts:
            shares[self.parts[-1].reservation] += left
        return shares

    def settle(self) -> None:
        """The first time counts."""
        if not self.ended:
            self.ended = True
            self.on_end(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.settle()

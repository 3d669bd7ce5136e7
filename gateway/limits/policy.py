"""Who is limited by what: rules as the operator states them, and the meters and windows they mean for one request."""

from collections.abc import Sequence
from functools import cache
from typing import Final, Literal, NamedTuple

from limits import RateLimitItem, parse_many

from gateway.limits.budgets import Budget, Refill
from gateway.limits.store import Claim

Scope = Literal["key", "tenant", "address"]
Period = Literal["minute", "hour", "day", "lifetime"]

SMOOTH_S: Final = {"minute": 60.0, "hour": 3600.0}
DAY_S: Final = 86_400.0


class Subject(NamedTuple):
    """Who asks. `address` is None where the client's own is not known, and no rule applies to it then."""

    key: str
    tenant: str
    address: str | None = None


class WindowRule(NamedTuple):
    """So many requests in a window, for each key, tenant or address."""

    scope: Scope
    item: RateLimitItem

    def identity(self, subject: Subject) -> str | None:
        name: str | None = getattr(subject, self.scope)
        return name


class TokenRule(NamedTuple):
    """`limit` tokens, prompt and completion together, for each key or tenant: of one model, or of all together.

    A minute's and an hour's budget refill smoothly, a day's at midnight UTC, a lifetime's never.
    """

    scope: Literal["key", "tenant"]
    limit: int
    per: Period
    model: str | None = None

    @property
    def budget(self) -> Budget:
        return _budget(self.limit, self.per)

    def claim(self, subject: Subject) -> Claim:
        owner = f"key/{subject.key}" if self.scope == "key" else "tenant"
        return Claim(f"{owner}/{self.per}/{self.model or ''}", self.budget)


@cache
def _budget(limit: int, per: Period) -> Budget:
    """There are as many as the configuration names."""
    if per == "lifetime":
        return Budget(limit, 0.0, Refill.NEVER)
    if per == "day":
        return Budget(limit, DAY_S, Refill.FIXED)
    return Budget(limit, SMOOTH_S[per], Refill.SMOOTH)


class Policy(NamedTuple):
    """All rules of one tier."""

    windows: tuple[WindowRule, ...] = ()
    tokens: tuple[TokenRule, ...] = ()

    def rules(self, model: str) -> tuple[TokenRule, ...]:
        return tuple(rule for rule in self.tokens if rule.model in (None, model))


def window_rules(scope: Scope, rules: Sequence[str]) -> tuple[WindowRule, ...]:
    """`60/minute`, `10 per 2 seconds`, several with `;` between them. Raises ValueError."""
    return tuple(WindowRule(scope, item) for rule in rules for item in parse_many(rule))


def scaled(claims: Sequence[Claim], share: float) -> Sequence[Claim]:
    """One gateway's part of budgets that are shared by all, at least one token."""
    if share == 1:
        return claims
    return [Claim(c.meter, c.budget._replace(limit=max(1, int(c.budget.limit * share)))) for c in claims]

"""The arithmetic of token budgets: what is used of one at a given moment, and what a charge or a refund changes.

A budget is charged with the most a request can use, and refunded what it did not use. Refills:

    smooth   drains steadily: `limit` tokens at once, then `limit / period_s` each second. In any period at most twice
             the limit, in the long run the limit
    fixed    empties at each multiple of `period_s` since the epoch: a day's budget ends at midnight UTC
    never    what is used stays used

A refund never makes a meter lower than if the true amount had been charged in the first place. For `smooth` the meter
may have drained since the charge, by at most `rate * elapsed` for all charges together: each refund gives that up. For
`fixed` a charge of an earlier window is gone already. (`tests/gateway/limits/test_budgets.py` holds this against a meter
that knew the true amounts.)

`budget.lua` is the same arithmetic; one suite of tests holds the two together.
"""

import math
from enum import StrEnum
from typing import Final, NamedTuple


class Refill(StrEnum):
    SMOOTH = "smooth"
    FIXED = "fixed"
    NEVER = "never"


class Budget(NamedTuple):
    """`limit` in tokens; `period_s` in seconds, and without meaning where nothing refills."""

    limit: int
    period_s: float
    refill: Refill

    @property
    def rate(self) -> float:
        """Tokens that drain each second."""
        return self.limit / self.period_s if self.refill is Refill.SMOOTH else 0.0


class Meter(NamedTuple):
    """`used` tokens as of `at`, in seconds since the epoch."""

    used: float = 0.0
    at: float = 0.0


EMPTY: Final = Meter()


def level(budget: Budget, meter: Meter, now: float) -> float:
    """Tokens used at `now`; a clock that went backwards changes nothing."""
    match budget.refill:
        case Refill.SMOOTH:
            return max(0.0, meter.used - budget.rate * max(0.0, now - meter.at))
        case Refill.FIXED:
            return 0.0 if _window(budget, now) > _window(budget, meter.at) else meter.used
        case Refill.NEVER:
            return meter.used


def charged(budget: Budget, meter: Meter, tokens: float, now: float) -> Meter:
    return Meter(level(budget, meter, now) + tokens, max(now, meter.at))


def refunded(budget: Budget, meter: Meter, tokens: float, since: float, now: float) -> Meter:
    """`tokens` that were charged at `since` and not used."""
    match budget.refill:
        case Refill.SMOOTH:
            tokens -= budget.rate * max(0.0, now - since)
        case Refill.FIXED if _window(budget, now) > _window(budget, since):
            tokens = 0.0
    return Meter(max(0.0, level(budget, meter, now) - max(0.0, tokens)), max(now, meter.at))


def settled(budget: Budget, meter: Meter, reserved: float, used: float, since: float, now: float) -> Meter:
    """After a reservation turned out to be `used`, more or less than was reserved."""
    if used >= reserved:
        return charged(budget, meter, used - reserved, now)
    return refunded(budget, meter, reserved - used, since, now)


def wait_for(budget: Budget, meter: Meter, tokens: float, now: float) -> float | None:
    """Seconds until `tokens` fit if nothing else is charged: 0 now, None never."""
    excess = level(budget, meter, now) + tokens - budget.limit
    if excess <= 0:
        return 0.0
    if tokens > budget.limit:
        return None
    match budget.refill:
        case Refill.SMOOTH:
            return excess / budget.rate
        case Refill.FIXED:
            return (_window(budget, now) + 1) * budget.period_s - now
        case Refill.NEVER:
            return None


def full_in(budget: Budget, meter: Meter, now: float) -> float | None:
    """Seconds until nothing is used any more, if nothing else is charged; None if that never comes."""
    used = level(budget, meter, now)
    if used <= 0:
        return 0.0
    match budget.refill:
        case Refill.SMOOTH:
            return used / budget.rate
        case Refill.FIXED:
            return (_window(budget, now) + 1) * budget.period_s - now
        case Refill.NEVER:
            return None


def _window(budget: Budget, at: float) -> int:
    return math.floor(at / budget.period_s)

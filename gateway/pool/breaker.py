"""When an engine that failed may be given work again: a circuit breaker, and a budget for second attempts. Pure."""

from dataclasses import dataclass, field

FIRST_S, MOST_S = 1.0, 30.0
FORGIVEN_S = 60.0
DOUBLINGS = 8


@dataclass(slots=True)
class Breaker:
    """Closed until `fault`; then open, twice as long after each further one; then half open: one request at a time, until one
    has been answered. A fault is forgotten after a minute without another. Times are seconds of one monotonic clock.
    """

    faults: int = 0
    open_until: float = 0.0
    half_open: bool = False
    probing: bool = False

    def fault(self, now: float) -> None:
        if now - self.open_until > FORGIVEN_S:
            self.faults = 0
        self.faults += 1
        self.open_until = now + min(MOST_S, FIRST_S * 2 ** min(self.faults - 1, DOUBLINGS))
        self.half_open, self.probing = True, False

    def success(self) -> None:
        self.half_open = self.probing = False

    def allows(self, now: float) -> bool:
        return not self.half_open or (now >= self.open_until and not self.probing)


@dataclass(slots=True)
class RetryBudget:
    """Second attempts in proportion to successes: each success earns `ratio` of one, up to `reserve`; a full reserve comes
    back within a minute. An outage of everything can thus not multiply the load that it meets when it ends.
    """

    reserve: float
    ratio: float
    balance: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.balance = self.reserve

    def earn(self) -> None:
        self.balance = min(self.reserve, self.balance + self.ratio)

    def spend(self, now: float) -> bool:
        """Whether one more attempt is granted."""
        refill = 0.0 if self.at is None else self.reserve * (now - self.at) / FORGIVEN_S
        self.balance, self.at = min(self.reserve, self.balance + refill), now
        if self.balance < 1:
            return False
        self.balance -= 1
        return True

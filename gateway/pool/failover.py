"""What becomes of a request whose engine is gone."""

from dataclasses import dataclass, field

from gateway.errors import EngineLost, EnginePoisoned, SluiceError
from gateway.pool.breaker import RetryBudget
from gateway.pool.flight import Flight


@dataclass(frozen=True, slots=True)
class FailoverPolicy:
    """`park_s`: how long a request that an engine had may wait for another one. `deaths`: of engines that died with a request in
    them, after which it is taken for the cause. `stall_s`: without a step, with work to do. `slow_factor`: times the peers' pace.
    `hedge_after_s`: without a first token, after which a second engine is asked too; None: never.
    """

    park_s: float = 120.0
    stall_s: float = 20.0
    slow_factor: float = 10.0
    deaths: int = 2
    attempts: int = 8
    retry_reserve: int = 256
    retry_ratio: float = 0.2
    hedge_after_s: float | None = None
    hedge_reserve: int = 16
    hedge_ratio: float = 0.05


@dataclass(slots=True)
class Failover:
    """One per pool. `lost` counts engines, unplanned; `moved`, `hedged` and `ended` requests."""

    policy: FailoverPolicy
    lost: int = 0
    moved: int = 0
    hedged: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    budget: RetryBudget = field(init=False)
    hedges: RetryBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = RetryBudget(self.policy.retry_reserve, self.policy.retry_ratio)
        self.hedges = RetryBudget(self.policy.hedge_reserve, self.policy.hedge_ratio)

    def succeeded(self) -> None:
        """A request has ended well."""
        self.budget.earn()
        self.hedges.earn()

    def end(self, flight: Flight, now: float, *, died: bool, planned: bool) -> SluiceError | None:
        """The error it ends with; None: it goes on elsewhere. `died`: the engine's fault may be this request's doing; `planned`:
        the engine was on its way out, so moving its requests is no retry. A request's first move is free, however many requests
        the engine had; further ones are paid for.
        """
        flight.deaths += died
        if flight.deaths >= self.policy.deaths:
            return EnginePoisoned("Two engines died while they served this request; it is not tried again.")
        first = flight.engines_asked == 1
        if flight.engines_asked >= self.policy.attempts or not (first or planned or self.budget.spend(now)):
            return lost()
        self.moved += 1
        return None


def lost() -> EngineLost:
    return EngineLost("The engine that served this request was lost. Please send the request again.")

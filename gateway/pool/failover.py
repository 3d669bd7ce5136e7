"""What becomes of a request whose engine is gone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import EngineLost, EnginePoisoned, SluiceError
from gateway.pool.breaker import RetryBudget
from gateway.pool.flight import Flight

PROVEN = 8
"""Tokens that an engine has given a request, after which it is no suspect in the engine's death, if there are others."""

SETTLED = 1000
"""Tokens after which a death on that engine says nothing at all about the request, if there are newcomers: it may just be long."""


@dataclass(frozen=True, slots=True)
class FailoverPolicy:
    """`park_s`: how long a request that an engine had may wait for another one. `blamed`: deaths of engines that a request is
    suspected of, after which it is taken for the cause; `deaths`: all that it may have had a part in. `stall_s`: without a step,
    with work to do. `slow_factor`: times the peers' pace. `hedge_after_s`: without a first token, after which a second engine is
    asked too; None: never.
    """

    park_s: float = 120.0
    stall_s: float = 20.0
    slow_factor: float = 10.0
    blamed: int = 2
    deaths: int = 3
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

    def end(self, flight: Flight, now: float, *, planned: bool) -> SluiceError | None:
        """The error it ends with; None: it goes on elsewhere. `planned`: the engine was on its way out, or it was this gateway that
        had fallen silent, so moving its requests is no retry. A request's first move is free, however many requests the engine
        had; further ones are paid for.
        """
        if flight.blamed >= self.policy.blamed or flight.deaths >= self.policy.deaths:
            return EnginePoisoned(
                f"{flight.deaths} engines died while they served this request; it is not tried again."
            )
        first = flight.engines_asked == 1
        if flight.engines_asked >= self.policy.attempts or not (first or planned or self.budget.spend(now)):
            return lost()
        self.moved += 1
        return None


def note_death(flights: Sequence[Flight], since: float) -> None:
    """Of an engine that had these, `since` when (on the clock of their legs): who was sent to it later has no part in it. What ends
    a core mostly does so as it begins there, or where it failed before: the newcomers are to blame, or, if there are none,
    everybody is. Who was the only suspect once is one at every further death, with newcomers beside it
    unless it had SETTLED tokens there.
    """
    aboard = [flight for flight in flights if flight.leg is None or flight.leg.sent <= since] or flights
    newcomers = [flight for flight in aboard if flight.gained < PROVEN]
    concerned = [flight for flight in aboard if not newcomers or flight.gained < SETTLED]
    for flight in concerned:
        flight.deaths += 1
        if flight.singled_out or not newcomers or flight.gained < PROVEN:
            flight.blamed += 1
    if len(suspects := newcomers or aboard) == 1:
        suspects[0].singled_out = True


def lost() -> EngineLost:
    return EngineLost("The engine that served this request was lost. Please send the request again.")

"""What the policy is told, what it remembers, and what it answers: plain values."""

from dataclasses import dataclass
from typing import NamedTuple


class Work(NamedTuple):
    """Tokens of prompts and of completions, as far as they can be told before."""

    prompt: float = 0.0
    completion: float = 0.0


NOTHING = Work()

REASONS = (
    "speed",
    "forecast",
    "season",
    "backlog",
    "use",
    "cache",
    "oldest",
    "max_replicas",
    "max_step",
    "cooldown",
    "panic",
    "more",
    "peak",
    "early",
    "silence",
    "idle",
    "asleep",
    "woken",
)
"""What each reason of a decision begins with, before a colon: kinds that can be counted."""


class EngineReading(NamedTuple):
    """One replica. `requests` in flight of at most `slots`, prompt tokens not yet prefilled, share of the KV cache in use; of
    gateway/pool/throughput.py the share of a full engine in use, and what tokens cost, in seconds of a full engine (0: unknown).
    """

    requests: int
    slots: int
    waiting_tokens: float = 0.0
    kv_use: float = 0.0
    use: float = 0.0
    prompt_s: float = 0.0
    completion_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Observation:
    """One model, over all gateways. `queue_requests` wait at gateways, `queue` is their work, `oldest_s` how long the first of
    them has waited since there is an engine. `arrived` is all work that ever came (it only grows; less than before begins anew;
    None: nobody tells it at the moment). `engines` are those that serve; `target` is the number of replicas asked for so far, of
    which the missing ones are starting.
    """

    engines: tuple[EngineReading, ...]
    target: int
    queue_requests: int = 0
    queue: Work = NOTHING
    oldest_s: float = 0.0
    arrived: Work | None = NOTHING

    @property
    def ready(self) -> int:
        return len(self.engines)

    @property
    def idle(self) -> bool:
        return not self.queue_requests and not any(engine.requests for engine in self.engines)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Work that arrives, in replicas (seconds of a full one per second): its rate and that one's trend per second, after `seen_s`
    seconds; a shorter mean of it; how far forecasts were off, relative and squared; and those whose time has not come, as (when,
    replicas).
    """

    rate: float = 0.0
    trend: float = 0.0
    seen_s: float = 0.0
    short: float = 0.0
    error: float = 0.04
    open: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Season:
    """Mean work, in replicas, of each part of the season before, and of this one so far (None: not seen)."""

    before: tuple[float | None, ...] = ()
    now: tuple[float | None, ...] = ()
    part: int = -1


@dataclass(frozen=True, slots=True)
class State:
    """`since`: when the first observation was made, `at`: the last, `told_at`: the last that told what arrived. `prompt_s` and
    `completion_s` price tokens in seconds of a full replica, 0 while unknown. `peaks`: (until, needed) of the stabilization window,
    needs falling. `starts`: when each replica that has not come yet was asked for (-inf: by others, some time ago). `target` is
    what was decided last.
    """

    since: float | None = None
    at: float | None = None
    told_at: float | None = None
    arrived: Work = NOTHING
    prompt_s: float = 0.0
    completion_s: float = 0.0
    forecast: Forecast = Forecast()
    season: Season = Season()
    peaks: tuple[tuple[float, float], ...] = ()
    startup_s: float | None = None
    starts: tuple[float, ...] = ()
    ready: int = 0
    target: int | None = None
    up_at: float | None = None
    down_at: float | None = None
    busy_at: float | None = None
    panic_until: float = 0.0


class Decision(NamedTuple):
    """`needed` is the number of replicas before bounds, steps and waiting; `backlog_s` seconds of work for those that are there;
    `reasons` say in words what led to `target`, each after its kind (REASONS) and a colon; `startup_s` is what a new replica was
    taken to need until it serves.
    """

    target: int
    state: State
    reasons: tuple[str, ...]
    needed: float
    backlog_s: float
    startup_s: float

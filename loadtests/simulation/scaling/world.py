"""One gateway's queue, the replicas that a policy asks for, a trace's arrivals: what became of each request, and the cost.

The queue has the gateway's own bounds and deadline; who is refused does not come back, and is never in time. How long an answer
will be, the gateway guesses as it does in production: by the moving mean of those that have ended.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from deployments.autoscaling.observation import EngineReading, Observation, Work
from gateway.admission.estimates import FIRST_COMPLETION, Mean
from gateway.config.work import Admission
from loadtests.simulation.scaling.arrivals import Trace
from loadtests.simulation.scaling.replica import Job, Replica
from loadtests.simulation.scaling.speeds import Speeds

BOUNDS = Admission()
NEVER = float("inf")


class Setup(NamedTuple):
    """`tick_s` between two decisions; replicas are paid for from the moment they are asked for until they have drained."""

    speeds: Speeds
    startup_s: float
    least: int = 1
    most: int = 64
    first: int = 1
    tick_s: float = 1.0
    deadline_s: float = BOUNDS.deadline_s or NEVER


@dataclass(frozen=True, slots=True)
class Seen(Observation):
    """What there is to see at this very moment. `queued`: requests that wait inside engines."""

    queued: int = 0


class Policy(Protocol):
    """`measures`: whether it wants the engines' speeds, which cost the simulation time."""

    @property
    def name(self) -> str: ...
    @property
    def measures(self) -> bool: ...
    def target(self, seen: Seen, now: float) -> int: ...


@dataclass
class Outcome:
    """Of one run. `waits` and `ttfts` in order of arrival, infinite for those refused; `counts` is (second, replicas paid for) at
    each change.
    """

    policy: str
    ttfts: list[float]
    waits: list[float]
    replica_s: float = 0.0
    ups: int = 0
    downs: int = 0
    turns: int = 0
    refused: int = 0
    counts: list[tuple[float, int]] = field(default_factory=list)
    queues: list[tuple[float, int]] = field(default_factory=list)


class World:
    def __init__(self, trace: Trace, setup: Setup, policy: Policy) -> None:
        self._trace, self._setup, self._policy = trace, setup, policy
        self._jobs = [Job(arrival) for arrival in trace.arrivals]
        self._queue: deque[Job] = deque()
        self._completion = Mean(FIRST_COMPLETION)
        self._waiting = [0, 0]
        self._arrived = [0, 0]
        self._events: list[tuple[float, int, int, Replica]] = []
        self._turn = 0
        self._target = 0
        self._all: list[Replica] = []
        self._serving: list[Replica] = []
        self._coming: list[Replica] = []
        self._last = 0
        self._outcome = Outcome(policy.name, [], [])

    def run(self, sample: Callable[[float], bool] = lambda _now: False) -> Outcome:
        """Until the last request has its first token; paid for until the last one arrived, or until then if that is later.
        `sample(now)`: whether to note the queue at this tick.
        """
        setup, outcome = self._setup, self._outcome
        self._scale(setup.first, 0.0, startup_s=0.0)
        place, tick, waiting_for = 0, 0.0, len(self._jobs)
        arrivals = self._trace.arrivals
        now = 0.0
        while waiting_for:
            arrival_at = arrivals[place].at if place < len(arrivals) else NEVER
            event_at = self._events[0][0] if self._events else NEVER
            coming_at = self._coming[0].ready_at if self._coming else NEVER
            now = min(arrival_at, event_at, tick, coming_at)
            if now == event_at:
                waiting_for -= self._happen(now)
            elif now == arrival_at:
                job = self._jobs[place]
                place += 1
                waiting_for -= self._arrive(job)
                self._dispatch(now)
            elif now == coming_at:
                self._serving.append(self._coming.pop(0))
                self._dispatch(now)
            else:
                waiting_for -= self._expire(now)
                if sample(now):
                    outcome.queues.append((now, len(self._queue)))
                self._scale(self._policy.target(self._observe(now), now), now, setup.startup_s)
                tick += setup.tick_s
        end = max(now, self._trace.span_s)
        for replica in self._all:
            outcome.replica_s += (end if replica.gone_at is None else replica.gone_at) - replica.asked_at
        outcome.ttfts = [job.first_at - job.arrival.at for job in self._jobs]
        outcome.waits = [job.started_at - job.arrival.at for job in self._jobs]
        outcome.counts.append((end, outcome.counts[-1][1]))
        return outcome

    def _arrive(self, job: Job) -> int:
        """1 if it is refused."""
        job.expected = max(1, round(self._completion.value))
        work = job.arrival.prompt + job.expected
        queue = self._queue
        if queue and (len(queue) >= BOUNDS.max_requests or sum(self._waiting) + work > BOUNDS.max_tokens):
            return self._refuse(job)
        self._arrived[0] += job.arrival.prompt
        self._arrived[1] += job.expected
        self._wait(job, 1)
        queue.append(job)
        return 0

    def _expire(self, now: float) -> int:
        """Those who have waited too long, at the next tick; while no engine is there, nobody has."""
        refused = 0
        while self._serving and self._queue and self._queue[0].arrival.at + self._setup.deadline_s <= now:
            job = self._queue.popleft()
            self._wait(job, -1)
            refused += self._refuse(job)
        return refused

    def _refuse(self, job: Job) -> int:
        job.started_at = job.first_at = NEVER
        self._outcome.refused += 1
        return 1

    def _wait(self, job: Job, sign: int) -> None:
        self._waiting[0] += sign * job.arrival.prompt
        self._waiting[1] += sign * job.expected

    def _happen(self, now: float) -> int:
        _, _, version, replica = heapq.heappop(self._events)
        if version != replica.version:
            return 0
        job = replica.advance(now)
        for output in replica.ended:
            self._completion.see(output)
        replica.ended.clear()
        if replica.draining and not replica.requests:
            replica.gone_at = now
        self._schedule(replica)
        self._dispatch(now)
        return job is not None

    def _schedule(self, replica: Replica) -> None:
        replica.version += 1
        if (at := replica.next_at()) != NEVER:
            self._turn += 1
            heapq.heappush(self._events, (at, self._turn, replica.version, replica))

    def _dispatch(self, now: float) -> None:
        slots = self._setup.speeds.slots
        while self._queue:
            free = [one for one in self._serving if one.requests < slots and one.waiting_tokens < BOUNDS.prefill_tokens]
            if not free:
                return
            job = self._queue.popleft()
            self._wait(job, -1)
            replica = min(free, key=_load)
            replica.add(job, now)
            self._schedule(replica)

    def _observe(self, now: float) -> Seen:
        slots = self._setup.speeds.slots
        measures = self._policy.measures
        readings = tuple(
            EngineReading(one.requests, slots, one.waiting_tokens, 0.0, *(one.speed(now) if measures else ()))
            for one in self._serving
        )
        oldest = now - self._queue[0].arrival.at if self._queue else 0.0
        waiting, arrived = Work(*self._waiting), Work(*self._arrived)
        queued = sum(one.queued for one in self._serving)
        return Seen(readings, self._target, len(self._queue), waiting, oldest, arrived, queued)

    def _scale(self, target: int, now: float, startup_s: float) -> None:
        """More are started; of those too many, the ones that have not come yet go first, then those with the least to do."""
        target = min(self._setup.most, max(self._setup.least, target))
        change = target - self._target
        if not change:
            return
        outcome, measures = self._outcome, self._policy.measures
        if now > 0:
            outcome.ups += change > 0
            outcome.downs += change < 0
            outcome.turns += self._last * change < 0
            self._last = change
        for _ in range(change):
            replica = Replica(self._setup.speeds, now, now + startup_s, measured=measures)
            self._all.append(replica)
            (self._coming if startup_s else self._serving).append(replica)
        for _ in range(-change):
            if self._coming:
                replica = self._coming.pop()
            else:
                replica = min(self._serving, key=_load)
                self._serving.remove(replica)
            replica.draining = True
            if not replica.requests:
                replica.gone_at = now
        self._target = target
        outcome.counts.append((now, target))


def _load(replica: Replica) -> tuple[int, int]:
    return replica.waiting_tokens, replica.requests

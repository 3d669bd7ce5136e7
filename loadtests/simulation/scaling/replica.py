"""A model of one engine replica: continuous batching as rates between events, not step by step.

Running sequences all get their tokens at one rate, one per step; so a counter of steps, and for each sequence the count at which
it ends, are all its decoding state. Prompts are prefilled one after another, in chunks; meanwhile running sequences get one token
per chunk.
"""

import heapq
from collections import deque

from gateway.pool.throughput import Speed, Throughput
from loadtests.simulation.scaling.arrivals import Arrival
from loadtests.simulation.scaling.speeds import CHUNK, Speeds

NEVER = float("inf")


class Job:
    """`expected`: tokens of its answer as guessed on arrival. Times are -1 before they come, infinite if they never will."""

    __slots__ = ("arrival", "expected", "first_at", "started_at")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.expected = 0
        self.started_at = self.first_at = -1.0


class Replica:
    """Ready at `ready_at`; `draining` ones take no new work; `gone_at` once they have ended it. `ended` are lengths of the answers
    that came to their end, until somebody takes them out.
    """

    def __init__(self, speeds: Speeds, asked_at: float, ready_at: float, *, measured: bool) -> None:
        self.asked_at, self.ready_at = asked_at, ready_at
        self.draining = False
        self.gone_at: float | None = None
        self.requests = 0
        self.ended: list[int] = []
        self.waiting_tokens = 0
        self.version = 0
        self._speeds = speeds
        self._throughput = Throughput(speeds.slots) if measured else None
        self._running: list[tuple[float, int, int]] = []
        self._prompts: deque[Job] = deque()
        self._steps = 0.0
        self._rate = 0.0
        self._step_prompt = 0.0
        self._number = 0
        self._at = ready_at
        self._prefilled_at = NEVER

    def add(self, job: Job, now: float) -> None:
        self._pass(now)
        job.started_at = now
        self.requests += 1
        self.waiting_tokens += job.arrival.prompt
        self._prompts.append(job)
        if self._prefilled_at == NEVER:
            self._prefill(now)

    @property
    def queued(self) -> int:
        """Requests that wait for the prompt before theirs."""
        return max(0, len(self._prompts) - 1)

    def next_at(self) -> float:
        ends = self._at + (self._running[0][0] - self._steps) / self._rate if self._running else NEVER
        return min(ends, self._prefilled_at)

    def advance(self, now: float) -> Job | None:
        """Up to the event that is due now; returns the job that gave its first token."""
        self._pass(now)
        if self._prefilled_at <= now:
            job = self._prompts.popleft()
            job.first_at = now
            self.waiting_tokens -= job.arrival.prompt
            self._number += 1
            if job.arrival.output > 1:
                heapq.heappush(self._running, (self._steps + job.arrival.output - 1, self._number, job.arrival.output))
            else:
                self.requests -= 1
                self.ended.append(job.arrival.output)
            self._prefill(now)
            return job
        while self._running and self._running[0][0] <= self._steps + 1e-6:
            self.ended.append(heapq.heappop(self._running)[2])
            self.requests -= 1
        if self._prefilled_at == NEVER:
            self._decode()
        return None

    def speed(self, now: float) -> Speed:
        self._pass(now)
        return self._throughput.speed(now) if self._throughput is not None else Speed(0.0, 0.0, 0.0)

    def _prefill(self, now: float) -> None:
        if not self._prompts:
            self._prefilled_at = NEVER
            self._decode()
            return
        tokens = self._prompts[0].arrival.prompt
        took = self._speeds.prefill_s(tokens)
        chunks = -(-tokens // CHUNK)
        self._prefilled_at = now + took
        self._rate = chunks / took
        self._step_prompt = tokens / chunks

    def _decode(self) -> None:
        batch = min(len(self._running), self._speeds.slots)
        self._rate = 1 / self._speeds.step_s[batch] if batch else 0.0
        self._step_prompt = 0.0

    def _pass(self, now: float) -> None:
        seconds = now - self._at
        if seconds <= 0:
            return
        steps = seconds * self._rate
        if self._throughput is not None and steps:
            batch = len(self._running)
            self._throughput.step(1 / self._rate, batch, self._step_prompt, steps)
            self._throughput.worked(now, steps * batch, steps * self._step_prompt)
        self._at = now
        if self._running:
            self._steps += steps

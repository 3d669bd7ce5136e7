"""Who decides in a simulation: the deployed policy, and what others use, each with its settings.

Ray Serve's default, as in ray/serve/autoscaling_policy.py of 2.60: requests in progress, averaged over `look_back_s` and reported
every `metrics_s`, over `target`; the difference times a factor; taken after it was wanted for `up_s` or `down_s` without a break.
KEDA's way with a Prometheus trigger: every `poll_s` the requests that wait, at the gateway and in engines, over `threshold` (or
those that wait or run, where `running`), through Kubernetes' horizontal autoscaler, which keeps the highest wish of the last
`down_s` and adds at most as many as there are, or four, at once.

Both see the world as it is when they look; ours sees it as late as the deployed one.
"""

import math
from collections import deque
from dataclasses import replace

from deployments.autoscaling.observation import Observation, State
from deployments.autoscaling.policy import decide
from gateway.config.autoscaling import Autoscaling
from loadtests.simulation.scaling.world import Seen

PATH_S = 3.0
"""From a gateway's queue to the policy at worst: a heartbeat to the engine, Serve's sample of it, the policy's turn; 1 s each."""


class Sluice:
    measures = True

    def __init__(self, config: Autoscaling, name: str = "Sluice", delay_s: float = PATH_S) -> None:
        self.name = name
        self._config = config
        self._delay_s = delay_s
        self._state = State()
        self._told: deque[tuple[float, Observation]] = deque()
        self.log: list[tuple[float, int, str]] = []

    def target(self, seen: Observation, now: float) -> int:
        self._told.append((now, seen))
        while len(self._told) > 1 and self._told[1][0] <= now - self._delay_s:
            self._told.popleft()
        told = replace(self._told[0][1], target=seen.target)
        decision = decide(told, self._state, now, self._config)
        self._state = decision.state
        if decision.target != seen.target:
            self.log.append((now, decision.target, "; ".join(decision.reasons)))
        return decision.target


class RayServe:
    measures = False

    def __init__(
        self,
        target: float = 2.0,
        up_s: float = 30.0,
        down_s: float = 600.0,
        look_back_s: float = 30.0,
        metrics_s: float = 10.0,
        up_factor: float = 1.0,
        down_factor: float = 1.0,
    ) -> None:
        self.name = f"Ray Serve, target {target:g}, up {up_s:g} s, down {down_s:g} s, look back {look_back_s:g} s"
        self.name += f", every {metrics_s:g} s, factors {up_factor:g} and {down_factor:g}"
        self._target, self._delays, self._factors = target, (up_s, down_s), (up_factor, down_factor)
        self._look_back_s, self._metrics_s = look_back_s, metrics_s
        self._samples: deque[tuple[float, int]] = deque()
        self._sampled_at = self._reported_at = -math.inf
        self._requests = 0.0
        self._wanted_since: float | None = None
        self._direction = 0

    def target(self, seen: Observation, now: float) -> int:
        self._measure(seen, now)
        if seen.ready == 0:
            return max(seen.target, int(seen.queue_requests > 0))
        desired = scaled(self._requests / self._target, seen.ready, *self._factors)
        return self._delayed(desired, seen.target, now)

    def _measure(self, seen: Observation, now: float) -> None:
        if now - self._sampled_at >= min(0.2 * self._look_back_s, self._metrics_s):
            self._sampled_at = now
            in_progress = seen.queue_requests + sum(engine.requests for engine in seen.engines)
            self._samples.append((now, in_progress))
            while self._samples[0][0] < now - self._look_back_s:
                self._samples.popleft()
        if now - self._reported_at >= self._metrics_s:
            self._reported_at = now
            self._requests = sum(number for _, number in self._samples) / len(self._samples)

    def _delayed(self, desired: int, current: int, now: float) -> int:
        direction = (desired > current) - (desired < current)
        if direction != self._direction:
            self._direction, self._wanted_since = direction, now if direction else None
        if self._wanted_since is None or now - self._wanted_since < self._delays[direction < 0]:
            return current
        self._direction, self._wanted_since = 0, None
        return desired


def scaled(desired: float, current: int, up: float = 1.0, down: float = 1.0) -> int:
    """Serve's scaling factors: the difference times a factor, rounded up, and one less if that would keep a scale-down stuck."""
    difference = desired - current
    result = math.ceil(current + (up if difference > 0 else down) * difference)
    return result - 1 if math.ceil(desired) < current and result == current else result


class Keda:
    measures = False

    def __init__(
        self, threshold: float = 5.0, poll_s: float = 15.0, down_s: float = 300.0, *, running: bool = False
    ) -> None:
        kind = "waiting and running" if running else "waiting"
        self.name = f"KEDA, {kind}, threshold {threshold:g}, poll {poll_s:g} s, down {down_s:g} s"
        self._running = running
        self._threshold, self._poll_s, self._down_s = threshold, poll_s, down_s
        self._polled_at = -math.inf
        self._wishes: deque[tuple[float, int]] = deque()

    def target(self, seen: Seen, now: float) -> int:
        if now - self._polled_at < self._poll_s:
            return seen.target
        self._polled_at = now
        if not self._wishes:  # Kubernetes' autoscaler begins with what there is
            self._wishes.append((now, seen.target))
        there = sum(engine.requests for engine in seen.engines) if self._running else seen.queued
        wish = math.ceil((seen.queue_requests + there) / self._threshold)
        self._wishes.append((now, wish))
        while self._wishes[0][0] <= now - self._down_s:
            self._wishes.popleft()
        highest = max(each for _, each in self._wishes)
        if wish > seen.target:
            return min(wish, seen.target + max(4, seen.target))
        return min(seen.target, max(highest, 1))


class Plan:
    """A schedule of replicas: (second, replicas) from then on."""

    measures = False

    def __init__(self, name: str, steps: list[tuple[float, int]]) -> None:
        self.name = name
        self._steps = deque(steps)
        self._now = steps[0][1]

    def target(self, _seen: Observation, now: float) -> int:
        while self._steps and self._steps[0][0] <= now:
            self._now = self._steps.popleft()[1]
        return self._now

"""The adapter to Ray Serve: its custom autoscaling policy, which runs in Serve's controller.

Serve puts smoothing of its own around every policy: factors, delays, averages over a look-back window. Here the factors are 1, the
delays 0, and the policy reads the newest samples instead of averages. Two of its rules stay: from zero it starts one replica by
itself as soon as a call waits in a handle, and to zero it goes from one only. Decisions are logged by Serve's logger, and
written to a file for `sluice status` and the gateways' metrics.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from deployments.autoscaling import measurements
from deployments.autoscaling.observation import Observation, State, Work
from deployments.autoscaling.policy import decide
from deployments.autoscaling.record import Record
from gateway.config import Config
from gateway.config.autoscaling import Autoscaling
from gateway.config.models import Model

if TYPE_CHECKING:
    from ray.serve.config import AutoscalingContext

TICK_S = 1.0
"""Serve asks at every turn of its control loop; engines tell something new once a second."""

WOKEN = "woken: Serve started it, since a call waited: somebody asked the sleeping model"
"""Told once the policy is asked again, which is when that replica is about to serve."""

log = logging.getLogger("ray.serve")


class ServePolicy:
    """One for each deployment, made anew when its settings change or the controller restarts: nothing is scaled down then until the
    stabilization window has been watched again. How long a start takes is known from the record of the one before.
    """

    def __init__(
        self, model: str, settings: dict[str, Any], folder: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` never runs back, unlike Serve's, which only dates what is told."""
        self._model = model
        self._config = Autoscaling.model_validate(settings)
        self._record = Record(folder, model)
        self._state = State()
        self._arrivals = Arrivals()
        self._freshness = measurements.Freshness()
        self._clock = clock
        self._warned = False
        self._decided_at = -math.inf
        self._target = 0

    def __call__(self, ctx: "AutoscalingContext") -> tuple[int, dict[str, Any]]:
        now, date = self._clock(), ctx.current_time or 0.0
        if now - self._decided_at < TICK_S:
            return self._target, {}
        told = ctx.raw_metrics or {}
        engines, queues = measurements.read(told, self._freshness.newest(told, now))
        waiting = [queue.waiting for queue in queues.values()]
        came = {name: queue.came for name, queue in queues.items()}
        seen = Observation(
            engines=tuple(engines),
            target=ctx.target_num_replicas,
            queue_requests=round(sum(queue.requests for queue in queues.values())),
            queue=Work(sum(work.prompt for work in waiting), sum(work.completion for work in waiting)),
            oldest_s=max((queue.oldest_s for queue in queues.values()), default=0.0),
            arrived=self._arrivals.total(came, now) if came or not ctx.target_num_replicas else None,
        )
        if self._state.at is None:
            self._state = self._begin(seen, now)
        if self._state.target == 0 < seen.target:
            self._tell(date, 0, seen.target, (WOKEN,))
        decision = decide(seen, self._state, now, self._config)
        self._warn(decision.startup_s)
        self._state, self._target, self._decided_at = decision.state, decision.target, now
        if decision.target != seen.target:
            self._tell(date, seen.target, decision.target, decision.reasons)
        self._record.note(date, seen, decision)
        return decision.target, {}

    def _begin(self, seen: Observation, now: float) -> State:
        """Of a model that was never scaled before, Serve is starting the first replicas: they show how long that takes."""
        missing = max(0, seen.target - seen.ready) if self._record.is_first else 0
        return State(startup_s=self._record.measured_startup_s(), ready=seen.ready, starts=(now,) * missing)

    def _warn(self, startup_s: float) -> None:
        kept_s = self._config.stabilization_s
        if kept_s is not None and kept_s < startup_s and not self._warned:
            self._warned = True
            said = "Sluice autoscaling of %s: stabilization_s (%.0f s) is shorter than a start (%.0f s)"
            log.warning(said, self._model, kept_s, startup_s)

    def _tell(self, date: float, was: int, to: int, reasons: Sequence[str]) -> None:
        log.info("Sluice autoscaling of %s: %d -> %d replicas: %s", self._model, was, to, "; ".join(reasons))
        self._record.changed(date, was, to, reasons)


class Arrivals:
    """All work that came to all gateways, though they come and go: what one had seen before it was heard of does not count.

    The policy divides growth by the seconds since anybody told anything. What one gateway tells after it was silent for longer, as
    when it has just found the engine that woke, came in all of its silence: it counts for as much as came in those seconds of it.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Work, float]] = {}
        self._total = Work()
        self._at = -math.inf

    def total(self, came: dict[str, Work], now: float) -> Work:
        """Nothing came: everything sleeps, and no gateway has anything to tell. `now` in seconds, and later each time."""
        passed, self._at = now - self._at, now
        if not came:
            self._known = {gateway: (work, now) for gateway, (work, _) in self._known.items()}
        for gateway, work in came.items():
            if gateway in self._known:
                before, at = self._known[gateway]
                share = passed / (now - at)
                self._total = Work(
                    self._total.prompt + share * max(0.0, work.prompt - before.prompt),
                    self._total.completion + share * max(0.0, work.completion - before.completion),
                )
            self._known[gateway] = (work, now)
        return self._total


def replicas(model: Model, config: Config, *, exists: bool = False) -> dict[str, Any]:
    """Options of the engine deployment: a number of replicas, or Serve's autoscaling with this policy. One that `exists` already is
    told of no first number of replicas: Serve would go to it at once, whatever is at work, since the settings are others.
    """
    settings = model.autoscaling
    if settings is None:
        return {"num_replicas": model.replicas}
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "initial_replicas": None if exists else settings.initial_replicas,
            "metrics_interval_s": 1.0,
            "look_back_period_s": 5.0,
            "upscale_delay_s": 0.0,
            "downscale_delay_s": 0.0,
            "downscale_to_zero_delay_s": 0.0,
            "policy": {
                "policy_function": f"{__name__}:{ServePolicy.__name__}",
                "policy_kwargs": {
                    "model": model.name,
                    "settings": settings.model_dump(),
                    "folder": str(config.autoscaling_folder),
                },
            },
        }
    }

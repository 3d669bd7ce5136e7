"""The load over time: steady, ramp to saturation, a burst of ten times the load, soak, and a day's curve from a trace."""

import time
from pathlib import Path

from locust import LoadTestShape
from locust.runners import WORKER_REPORT_INTERVAL, MasterRunner

from loadtests.suite import arrivals
from loadtests.suite.knee import Step, points, saturated, whole
from loadtests.suite.record import JOURNAL
from loadtests.suite.schedule import BINS, burst, day, sinus_day

REPORTED_S = WORKER_REPORT_INTERVAL + 1.0
"""After which a worker's record has reached its master."""


class Shape(LoadTestShape):
    """Whichever `--shape` names. `--users` is its steady number, or the most that a ramp or a day comes to."""

    use_common_options = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self._curve: list[float] = []
        self._step: tuple[int, float] | None = None
        self._judged = 0

    def tick(self) -> tuple[int, float] | None:
        assert self.runner is not None
        options = self.runner.environment.parsed_options
        assert options is not None
        share = self._elapsed_s() / (options.minutes * 60)
        if share >= 1:
            self._end_step()
            return None
        most = options.num_users or 1
        match options.shape:
            case "ramp":
                wanted = self._ramp(most, options.step, options.step_seconds)
            case "burst":
                wanted = burst(most, share)
            case "day":
                self._curve = self._curve or (
                    arrivals.rates(arrivals.read_trace(Path(options.trace)), BINS) if options.trace else sinus_day()
                )
                wanted = day(most, share, self._curve)
            case _:
                wanted = most
        return None if wanted is None else (wanted, float(max(wanted, self.runner.user_count, 1)))

    def reset_time(self) -> None:
        self.start_time = time.perf_counter()
        self.steps, self._step, self._judged, self._curve = [], None, 0, []

    def _elapsed_s(self) -> float:
        return time.perf_counter() - self.start_time

    def _ramp(self, most: int, step: int, step_s: float) -> int | None:
        """One step more each `step_s` seconds, until the throughput grows no more."""
        users, now = min(most, step * (1 + int(self._elapsed_s() / step_s))), time.time()
        if self._step is None or self._step[0] != users:
            self._end_step()
            self._step = (users, now)
        late_s = REPORTED_S if isinstance(self.runner, MasterRunner) else 0.0
        known = whole(JOURNAL.records, self.steps, now, late_s)
        if len(known) > self._judged:
            self._judged = len(known)
            if saturated(points(JOURNAL.records, known)):
                # The account at the end is of the steps that were judged here, so that both say the same.
                self.steps, self._step = known, None
                return None
        return users

    def _end_step(self) -> None:
        if self._step is not None:
            self.steps.append(Step(self._step[0], self._step[1], time.time()))
            self._step = None

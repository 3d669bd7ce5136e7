"""Drift off the critical path: a request that ends costs the event loop an append, now and then; all else is a thread's work.

At most `sample_per_s` requests of each model are looked at, at times drawn at random (a Poisson process), so that the cost does
not grow with the traffic. What waits for the thread is bounded too: if it lags, requests go by unseen.
"""

import queue
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import structlog

from gateway.config.drift import Drift
from gateway.drift.features import Seen, sample
from gateway.drift.monitor import Monitor, Reading, Rules
from gateway.drift.reference import Season
from gateway.drift.state import StateFile

MOST_WAITING: Final = 256
MOST_PROMPT, MOST_ANSWER = 1024, 64
"""Tokens whose text is looked at: a prompt's last, where the user's own words are, and an answer's first."""
SAVE_S: Final = 300.0
TURN_S: Final = 1.0

Decode = Callable[[Sequence[int]], str]
log = structlog.get_logger(__name__)


class Ended(NamedTuple):
    """A request at its end. `at` in seconds since the epoch; `version` is that of the model that answered."""

    model: str
    version: str
    prompt: Sequence[int]
    answer: Sequence[int]
    prompt_tokens: int
    output_tokens: int
    finish: str
    at: float


class DriftWatch:
    """`decoders` gives each model's tokens their text; `clock` is in seconds since the epoch."""

    def __init__(
        self,
        settings: Drift,
        folder: Path,
        decoders: Mapping[str, Decode],
        clock: Callable[[], float],
        seed: int | None = None,
    ) -> None:
        self._settings, self._decoders, self._clock = settings, decoders, clock
        self._random = random.Random(seed)  # noqa: S311  which requests are looked at is no secret
        self._rng = np.random.default_rng(seed)
        self._rules = rules_of(settings)
        self._file = StateFile(folder)
        self._monitors = self._file.load(self._rules, self._rng)
        self._due: dict[str, float] = {}
        self._waiting: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._evaluated = self._saved = clock()
        self._readings: dict[str, list[Reading]] = {}
        self._alerts: dict[str, frozenset[str]] = {}
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._publish()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Looks at what waits, and saves."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self.turn()
        self._save()
        self._file.close()

    def wants(self, model: str, now: float) -> bool:
        """Whether a request of this model that ends now is one to look at; asked for each, so it decides by the clock alone."""
        if now < self._due.get(model, 0.0) or self._waiting.qsize() >= MOST_WAITING:
            return False
        self._due[model] = now + self._random.expovariate(self._settings.sample_per_s)
        return True

    def take(
        self, model: str, version: str, prompt: Sequence[int], answer: Sequence[int], finish: str, now: float
    ) -> None:
        """Token ids of a request that `wants` has chosen; they are forgotten as soon as the thread has looked at them."""
        ended = Ended(
            model, version, prompt[-MOST_PROMPT:], answer[:MOST_ANSWER], len(prompt), len(answer), finish, now
        )
        self._waiting.put(ended)

    def relearn(self, model: str) -> bool:
        """Forget the reference of a model. False if there is none."""
        with self._lock:
            monitor = self._monitors.get(model)
            if monitor is not None:
                monitor.relearn(self._clock())
                self._readings.pop(model, None)
                self._alerts.pop(model, None)
                self._publish()
        return monitor is not None

    @property
    def readings(self) -> Mapping[str, Sequence[Reading]]:
        """The last comparison of each model's versions."""
        return dict(self._readings)

    def status(self) -> dict[str, Any]:
        """By model; distances with their thresholds, and what either side looks like. As of the last turn: nobody waits for one."""
        return self._told

    def turn(self) -> None:
        """What the thread does once a second."""
        with self._lock:
            while not self._waiting.empty():
                self._look(self._waiting.get())
            now = self._clock()
            if not 0 <= now - self._evaluated < self._settings.evaluate_s:
                self._evaluated = now
                for model, monitor in self._monitors.items():
                    self._readings[model] = monitor.evaluate(now)
                    self._tell(model)
            self._publish()
        if not 0 <= now - self._saved < SAVE_S:
            self._save()

    def _run(self) -> None:
        while not self._closing.wait(TURN_S):
            try:
                self.turn()
            except Exception:
                log.exception("drift_turn_failed")

    def _look(self, ended: Ended) -> None:
        decode = self._decoders.get(ended.model)
        if decode is None:
            return
        seen = Seen(decode(ended.prompt), decode(ended.answer), ended.prompt_tokens, ended.output_tokens, ended.finish)
        monitor = self._monitors.get(ended.model)
        if monitor is None:
            monitor = self._monitors[ended.model] = Monitor(self._rules, self._rng)
        monitor.add(ended.version, sample(seen, ended.at), ended.at)

    def _tell(self, model: str) -> None:
        alerts = frozenset(f"{one.version} {signal}" for one in self._readings[model] for signal in one.alerts)
        before = self._alerts.get(model, frozenset())
        for alert in sorted(alerts ^ before):
            version, _, signal = alert.rpartition(" ")
            log.warning("drift" if alert in alerts else "drift_ended", model=model, version=version, signal=signal)
        self._alerts[model] = alerts

    def _publish(self) -> None:
        now = self._clock()
        self._told = {model: self._status(model, monitor, now) for model, monitor in self._monitors.items()}

    def _status(self, model: str, monitor: Monitor, now: float) -> dict[str, Any]:
        reference = monitor.reference
        readings = self._readings.get(model, [])
        return {
            "state": "drift"
            if any(one.alerts for one in readings)
            else "learning"
            if reference.learning(now)
            else "ok",
            "reference": {
                "version": reference.version,
                "since": reference.begun,
                "until": None if reference.begun is None else reference.begun + reference.season.learn_s,
                "samples": int(np.minimum(reference.seen, reference.season.size).sum()),
                "slots_known": int(reference.known(now).sum()),
                "slots": len(reference.seen),
            },
            "versions": [_reading(one) for one in readings],
        }

    def _save(self) -> None:
        self._saved = self._clock()
        try:
            with self._lock:
                self._file.save(self._monitors)
        except OSError as exc:
            log.warning("drift_not_saved", error=str(exc))


def rules_of(settings: Drift) -> Rules:
    season = Season(
        settings.period_s, settings.slots, settings.learn_s, settings.reference_samples, settings.min_samples
    )
    return Rules(season, settings.window_samples, settings.window_s, settings.confirm)


def _reading(reading: Reading) -> dict[str, Any]:
    return {
        "version": reading.version,
        "samples": reading.samples,
        "alerts": sorted(reading.alerts),
        "signals": {
            signal: {
                "test": one.test,
                "distance": round(one.value, 4),
                "threshold": one.threshold,
                "p": round(one.p, 6),
                "drifted": one.drifted,
            }
            for signal, one in reading.distances.items()
        },
        "present": reading.present,
        "normal": reading.normal,
    }

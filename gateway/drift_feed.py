"""Brings drift what it looks at: requests as they end at the engines, and the words of their tokens."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.config import Config
from gateway.drift.monitor import SIGNALS, Reading
from gateway.drift.watch import Decode, DriftWatch
from gateway.model_front import ModelFront
from gateway.pool.flight import Flight
from gateway.telemetry.drift_metrics import DriftMetrics, SignalReading
from gateway.telemetry.metrics import Metrics


class DriftFeed:
    """Of one gateway. Reads and writes `state_dir/drift`. A request that its client, or a stop string, cut off is not looked at."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self._decoders: dict[str, Decode] = {}
        self.watch = DriftWatch(config.drift, config.state_dir / "drift", self._decoders, time.time)
        DriftMetrics(metrics.registry, self._read)
        self.watch.start()

    def connect(self, front: ModelFront, decode: Decode) -> None:
        """From now on, look at the requests of this model."""
        name = front.spec.name
        self._decoders[name] = decode

        def finished(flight: Flight, reason: str) -> None:
            now = time.time()
            if flight.channel is not None and self.watch.wants(name, now):
                version = f"{front.accept.fingerprint[:12]}/{flight.channel.card.format}"
                prompt = flight.request.prompt_token_ids or ()
                self.watch.take(name, version, prompt, flight.tokens, reason, now)

        front.pool.on_finish = finished

    def status(self) -> dict[str, Any]:
        return self.watch.status()

    def _read(self) -> Mapping[str, Mapping[str, SignalReading]]:
        readings = self.watch.readings
        return {model: _signals(readings.get(model, ())) for model in self._decoders}


def _signals(readings: Sequence[Reading]) -> dict[str, SignalReading]:
    """Distances of the version seen last; an alert of any version is one."""
    told = {}
    for signal in SIGNALS:
        distance = readings[-1].distances.get(signal) if readings else None
        alert = any(signal in one.alerts for one in readings)
        told[signal] = SignalReading(distance and distance.value, distance and distance.threshold, alert)
    return told

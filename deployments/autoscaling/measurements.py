"""What an engine replica tells Serve's controller, by name and number, and how the policy's adapter reads it again.

A gateway's queue is told by one engine at a time; while that engine changes, two may tell it, and the one that has seen more of its
work arrive is right. Serve keeps old samples of names that are told no more: what was not told together with the engine's own last
numbers does not count, and an engine that has told nothing for STALE_S neither. The reader's own clock says how long that is: hosts
may be apart, and one whose clock is behind must not look silent.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from deployments.autoscaling.observation import EngineReading, Work

ENGINE, GATEWAY = "engine", "gateway"
OWN = EngineReading._fields
FIRST = f"{ENGINE}.{OWN[0]}"
STALE_S = 10.0
QUEUE = ("requests", "oldest_s", "prompt", "completion", "came_prompt", "came_completion")


class QueueReading(NamedTuple):
    """One gateway's queue: see gateway/pool/wire.py."""

    requests: float = 0.0
    oldest_s: float = 0.0
    prompt: float = 0.0
    completion: float = 0.0
    came_prompt: float = 0.0
    came_completion: float = 0.0

    @property
    def waiting(self) -> Work:
        return Work(self.prompt, self.completion)

    @property
    def came(self) -> Work:
        return Work(self.came_prompt, self.came_completion)


class Sample(Protocol):
    """Serve's TimeStampedValue."""

    @property
    def timestamp(self) -> float: ...
    @property
    def value(self) -> float: ...


Told = Mapping[str, Mapping[Any, Sequence[Sample]]]
"""By name and replica, as Serve's raw_metrics."""


def measurements(outlet: Any, slots: int) -> dict[str, float]:
    """Of an EngineOutlet."""
    load, speed = outlet.load, outlet.speed
    own = EngineReading(load.requests, slots, load.prefill_tokens, load.kv_use, *speed)
    told = {f"{ENGINE}.{name}": float(value) for name, value in zip(OWN, own, strict=True)}
    for queue in outlet.queues:
        told |= {f"{GATEWAY}.{queue.gateway}.{name}": float(getattr(queue, name)) for name in QUEUE}
    return told


class Freshness:
    """Of each replica that tells something: the time of its last sample, by its own clock, and since when we know that one."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[float, float]] = {}

    def newest(self, told: Told, now: float) -> dict[Any, float]:
        """The times of the last samples of those that are not silent. `now` in seconds, of a clock that does not run back."""
        last = {replica: samples[-1].timestamp for replica, samples in told.get(FIRST, {}).items() if samples}
        known = self._known
        self._known = {
            replica: known[replica] if replica in known and known[replica][0] == at else (at, now)
            for replica, at in last.items()
        }
        return {replica: at for replica, (at, since) in self._known.items() if now - since <= STALE_S}


def read(told: Told, newest: Mapping[Any, float]) -> tuple[list[EngineReading], dict[str, QueueReading]]:
    """The readings of the replicas in `newest`, which tells the times of their last samples, and the queues by gateway."""
    engines: list[EngineReading] = []
    queues: dict[str, QueueReading] = {}
    for replica, at in newest.items():
        own = {name: _last(told, f"{ENGINE}.{name}", replica, at) for name in OWN}
        engines.append(EngineReading(**{name: value or 0 for name, value in own.items()}))  # type: ignore[arg-type]
        for gateway in _gateways(told):
            numbers = [_last(told, f"{GATEWAY}.{gateway}.{name}", replica, at) for name in QUEUE]
            if any(number is None for number in numbers):
                continue
            queue = QueueReading(*(number or 0.0 for number in numbers))
            known = queues.get(gateway)
            if known is None or sum(queue.came) >= sum(known.came):
                queues[gateway] = queue
    return engines, queues


def _gateways(told: Iterable[str]) -> set[str]:
    return {name.split(".")[1] for name in told if name.startswith(GATEWAY + ".")}


def _last(told: Told, name: str, replica: Any, at: float) -> float | None:
    samples = told.get(name, {}).get(replica)
    return samples[-1].value if samples and samples[-1].timestamp == at else None

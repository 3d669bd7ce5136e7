"""What an engine replica tells Serve's controller, by name and number, and how the policy's adapter reads it again.

A gateway's queue is told by one engine at a time; while that engine changes, two may tell it, and the one that has seen more of its
work arrive is right. Serve keeps old samples of names that are told no more: what was not told together with the engine's own last
numbers does not count, and an engine that has told nothing for STALE_S neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from deployments.autoscaling.observation import EngineReading, Work

ENGINE, GATEWAY = "engine", "gateway"
OWN = EngineReading._fields
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


def measurements(outlet: Any, slots: int) -> dict[str, float]:
    """Of an EngineOutlet."""
    load, speed = outlet.load, outlet.speed
    own = EngineReading(load.requests, slots, load.prefill_tokens, load.kv_use, *speed)
    told = {f"{ENGINE}.{name}": float(value) for name, value in zip(OWN, own, strict=True)}
    for queue in outlet.queues:
        told |= {f"{GATEWAY}.{queue.gateway}.{name}": float(getattr(queue, name)) for name in QUEUE}
    return told


def read(
    told: Mapping[str, Mapping[Any, Sequence[Sample]]], now: float
) -> tuple[list[EngineReading], dict[str, QueueReading]]:
    """`told` by name and replica, as Serve's raw_metrics: the engines' readings, and the queues by gateway. `now` and the
    samples' times are of the wall clock, which hosts are expected to share to a few seconds.
    """
    engines: list[EngineReading] = []
    queues: dict[str, QueueReading] = {}
    for replica, samples in told.get(f"{ENGINE}.{OWN[0]}", {}).items():
        if not samples or samples[-1].timestamp < now - STALE_S:
            continue
        at = samples[-1].timestamp
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


def _last(told: Mapping[str, Mapping[Any, Sequence[Sample]]], name: str, replica: Any, at: float) -> float | None:
    samples = told.get(name, {}).get(replica)
    return samples[-1].value if samples and samples[-1].timestamp == at else None

"""An engine's steps as they are seen from outside its core: one message of outputs each, while it has work."""

from dataclasses import dataclass

from gateway.pool.throughput import Speed, Throughput


@dataclass(slots=True)
class Step:
    """One message: sequences that were decoding, tokens they got, prompt tokens that it ended the prefill of, and those cached."""

    decoding: int = 0
    completed: int = 0
    prompts: int = 0
    cached: int = 0


class Meter:
    """A step lasts since the one before, or since work came to an idle core. A prefill of several steps counts in the last."""

    def __init__(self, slots: int) -> None:
        self._throughput = Throughput(slots)
        self._since: float | None = None

    def busy(self, now: float) -> None:
        """Work came."""
        if self._since is None:
            self._since = now

    def idle(self) -> None:
        """None is left."""
        self._since = None

    def step(self, step: Step, now: float) -> None:
        if self._since is not None and (step.completed or step.prompts):
            self._throughput.step(now - self._since, step.decoding, step.prompts)
            self._throughput.worked(now, step.completed, step.prompts, step.cached)
            self._since = now

    def speed(self, now: float) -> Speed:
        return self._throughput.speed(now)

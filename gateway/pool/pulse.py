"""Whether an engine core is alive: it gives tokens, or it answers when asked and may still need steps for a prompt."""

import asyncio
from collections.abc import Iterable
from typing import Protocol

from gateway.pool import wire

SPARE_STEPS = 8
"""Answers without a token that say nothing yet: two steps may be under way at once, and a batch be preempted."""


class Asked(Protocol):
    async def ping(self) -> None: ...


def silent_steps(lengths: Iterable[int], step_tokens: int) -> int:
    """How many steps a core with requests of these lengths (tokens) may take before one of them must give something: its
    prompts go in order of a queue, `step_tokens` at a time, so the longest bounds them. 0 without requests.
    """
    longest = max(lengths, default=None)
    return 0 if longest is None else SPARE_STEPS + -(-longest // step_tokens)


class Pulse:
    """A core that has work and gives nothing for a heartbeat is asked, once per heartbeat; it answers between two steps. It is
    quiet from the first question that it owes an answer; or, if it answers, since its last token as soon as it has answered more
    often than its prompts can take steps. A new oldest request may take its steps again. Times are the event loop's.
    """

    def __init__(self, core: Asked) -> None:
        self._core = core
        self._gave_at = 0.0
        self._answers = self._may = 0
        self._head: str | None = None
        self._asked_at: float | None = None
        self._question: asyncio.Task[None] | None = None

    def gave(self, now: float) -> None:
        """Something for a request."""
        self._gave_at, self._answers, self._asked_at = now, 0, None

    def spoke(self) -> None:
        """Of its statistics, say: it is there, and may for all that be getting nowhere."""
        self._asked_at = None

    def quiet_s(self, now: float) -> float:
        idle = now - self._gave_at if self._head is not None and self._answers > self._may else 0.0
        return idle if self._asked_at is None else max(idle, now - self._asked_at)

    def feel(self, now: float, *, head: str | None, steps: int, paused: bool) -> None:
        """Once per heartbeat. `head`: its oldest request, None without work; `steps`: that it may take in silence; `paused`: this
        process stood still itself, so that nothing is known about the core.
        """
        if self._question is not None and self._question.done():
            if not self._question.cancelled() and self._question.exception() is None:
                self._answers, self._asked_at = self._answers + 1, None
            self._question = None
        if paused or self._head is None:
            self._gave_at = now
        if paused or head != self._head:
            self._answers = 0
        self._head, self._may = head, steps
        if paused and self._asked_at is not None:
            self._asked_at = now
        if head is not None and now - self._gave_at > wire.HEARTBEAT_S:
            self._asked_at = now if self._asked_at is None else self._asked_at
            if self._question is None:
                self._question = asyncio.ensure_future(self._core.ping())

    def stop(self) -> None:
        if self._question is not None:
            self._question.cancel()

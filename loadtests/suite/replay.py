"""Replays a trace: its arrivals at their times, its lengths, and prompts that share what the trace's prompts share."""

import time
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

from locust import events

from loadtests.prompts import NAMES, WORDS
from loadtests.suite import arrivals
from loadtests.suite.personas import question
from loadtests.suite.plan import Plan, chat
from loadtests.suite.record import JOURNAL
from loadtests.suite.user import StreamingUser

WORD_TOKENS = 2
"""About what a word of these prompts costs the demo model's tokenizer; the usage of each answer has the exact count."""
OVERHEAD_TOKENS = 24


class Replay(StreamingUser):
    """One per process does the work; of several workers each replays its part."""

    persona = "trace"
    _taken = False

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._left: deque[arrivals.Arrival] = deque()
        self._now: arrivals.Arrival | None = None

    def wait_time(self) -> float:
        if not self._left:
            self._now = None
            return 1.0
        self._now = self._left.popleft()
        return max(0.0, self._due_at(self._now) - time.perf_counter())

    def act(self) -> None:
        if self._now is not None:
            JOURNAL.turns += 1
            self._in_flight.spawn(self._converse, self.replayed(self._now), self._due_at(self._now))
        elif not Replay._taken:
            Replay._taken = True
            self._left.extend(self._part())
            self._begun = time.perf_counter()

    def _due_at(self, arrival: arrivals.Arrival) -> float:
        return self._begun + arrival.at_s / float(self.options.trace_speed)

    def _part(self) -> list[arrivals.Arrival]:
        worker = max(0, getattr(self.environment.runner, "worker_index", 0))
        parts = (self.options.expect_workers or 1) if getattr(self.options, "worker", False) else 1
        return arrivals.part(arrivals.read_trace(Path(self.options.trace)), worker, parts)

    def replayed(self, arrival: arrivals.Arrival) -> Plan:
        fit = arrivals.fitted(arrival, self.options.trace_scale, self.options.context - OVERHEAD_TOKENS)
        messages = [{"role": "user", "content": text(fit, self.rng)}]
        body = chat(self.model, messages, fit.output_tokens, exact=True)
        return Plan(body, max_tokens=fit.output_tokens, exact=True)


def again(**_: Any) -> None:
    """Each run replays the trace from its begin."""
    Replay._taken = False  # noqa: SLF001  ours


def text(arrival: arrivals.Arrival, rng: Random) -> str:
    """About `prompt_tokens` tokens: a part for each block that is the same for the same id, or a prompt like no other."""
    words = max(1, arrival.prompt_tokens // WORD_TOKENS)
    if not arrival.blocks:
        return (question(rng) + " " + " ".join(rng.choices(WORDS, k=words)))[: words * 6]
    each = max(1, words // len(arrival.blocks))
    return " ".join(_block(block, each) for block in arrival.blocks)


events.test_start.add_listener(again)


def _block(block: int, words: int) -> str:
    rng = Random(block)
    return f"{block} " + " ".join(rng.choices(WORDS + NAMES, k=words))

"""`python -m loadtests.simulation.admission_steps`: what the pace of a tenant over its share costs it, and what it saves others.

The fair queue before one engine that works in steps: a token of each answer under way, and of prompts, in the order of their
coming, what the step still holds. A flood keeps three times as many requests as there are places; others stream long
answers; a quiet tenant comes four times a second.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import NamedTuple

from gateway.admission.fair_queue import FairQueue
from gateway.admission.ledger import Entry, State
from gateway.admission.ticket import Capacity, Policy, Ticket
from loadtests.arithmetic import percentile

STEP_TOKENS = 2048
STEP_S, TOKEN_S = 0.01, 40e-6
QUIET_PER_S = 4.0
BEGIN_S, UNTIL_S = 2.0, 120.0
LOADS = [(20, 4, 100, 1), (20, 4, 100, 4), (20, 4, 2000, 4), (80, 10, 100, 1), (80, 10, 100, 4), (80, 10, 100, 64)]
LOADS.append((80, 10, 2000, 64))


class Found(NamedTuple):
    """Requests per second of the flood, sequences that ran on average, and the quiet tenant's TTFT in seconds."""

    flood_per_s: float
    running: float
    ttft_p99_s: float


class Stream:
    """One request: what is left of its prompt and of its answer, and what its client does at its end."""

    def __init__(self, tenant: str, prompt: int, answer: int, at: float, then: Callable[[], None] | None) -> None:
        self.ticket = Ticket(tenant, tenant, prompt, answer)
        self.prompt, self.answer, self.at, self.then = prompt, answer, at, then


class Engine:
    def __init__(self, places: int, seed: int = 3) -> None:
        self.queue = FairQueue(Policy(), Capacity(places, 16_384))
        self.now = self.busy = 0.0
        self.done: Counter[str] = Counter()
        self.ttft_s: list[float] = []
        self._running: dict[Entry, Stream] = {}
        self._waiting: dict[Entry, Stream] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._turn = count()
        self._dice = random.Random(seed)

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._turn), what))

    def run(self, until: float) -> None:
        self.at(0.0, self._step)
        while self._events[0][0] < until:
            free = self.queue.next_free(self.now)
            if free is not None and free < self._events[0][0]:
                self.at(free, self._start)
            when, _, what = heapq.heappop(self._events)
            self.busy += self.queue.sequences * (when - self.now)
            self.now = when
            what()

    def ask(self, tenant: str, prompt: int, answer: int, *, again: bool = True) -> None:
        then = partial(self.ask, tenant, prompt, answer) if again else None
        stream = Stream(tenant, prompt, answer, self.now, then)
        entry = self.queue.offer(stream.ticket, self.now)
        if isinstance(entry, Entry):
            self._waiting[entry] = stream
            if entry.state is State.RUNNING:
                self._begin(entry)
            self._start()

    def come(self) -> None:
        self.ask("quiet", 100, 16, again=False)
        self.at(self.now + self._dice.expovariate(QUIET_PER_S), self.come)

    def _start(self) -> None:
        while (entry := self.queue.take(self.now)) is not None:
            self._begin(entry)

    def _begin(self, entry: Entry) -> None:
        stream = self._running[entry] = self._waiting.pop(entry)
        self.queue.counted(entry, stream.prompt)

    def _step(self) -> None:
        left = STEP_TOKENS - sum(not stream.prompt for stream in self._running.values())
        plan: list[tuple[Entry, int]] = []
        for entry, stream in self._running.items():
            plan.append((entry, min(left, stream.prompt)))
            left -= plan[-1][1]
        self.at(self.now + STEP_S + TOKEN_S * (STEP_TOKENS - left), partial(self._stepped, plan))

    def _stepped(self, plan: list[tuple[Entry, int]]) -> None:
        for entry, tokens in plan:
            stream = self._running[entry]
            stream.prompt -= tokens
            if stream.prompt:
                continue
            if tokens:
                self.queue.prefilled(entry, entry.prefill)
                self.ttft_s += [self.now - stream.at] if stream.ticket.tenant == "quiet" else []
            stream.answer -= 1
            if not stream.answer:
                del self._running[entry]
                self.queue.leave(entry, self.now, stream.ticket.max_completion_tokens)
                self.done[stream.ticket.tenant] += 1
                if stream.then is not None:
                    self.at(self.now + 1e-3, stream.then)
        self._start()
        self._step()


def found(places: int, others: int, prompt: int, answer: int, until: float = UNTIL_S) -> Found:
    engine = Engine(places)
    for number in range(others):
        engine.at(0.0, partial(engine.ask, f"other {number}", 100, 500))
    for number in range(3 * places):
        engine.at(BEGIN_S / 4 + 1e-3 * number, partial(engine.ask, "flood", prompt, answer))
    engine.at(BEGIN_S, engine.come)
    engine.run(until)
    return Found(engine.done["flood"] / (until - BEGIN_S / 4), engine.busy / until, percentile(engine.ttft_s, 0.99))


def main() -> None:
    for load in LOADS:
        of = found(*load)
        print(
            "{} places, {} others, prompts of {}, answers of {}:".format(*load),
            f"{of.flood_per_s:.1f}/s, {of.running:.1f} running, quiet TTFT p99 {1e3 * of.ttft_p99_s:.0f} ms",
        )


if __name__ == "__main__":
    main()

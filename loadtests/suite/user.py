"""A user of streams: sends what its persona plans, checks every answer, honours Retry-After, and tells the statistics."""

from __future__ import annotations

import itertools
import math
import time
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar

import gevent
from gevent.event import Event
from gevent.pool import Group
from locust import User, events, task

from loadtests.suite import arrivals, statistics
from loadtests.suite.client import Connection, address, queue_s, retry_after_s
from loadtests.suite.record import JOURNAL, Outcome, Record, packed
from loadtests.suite.verify import changed, read_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loadtests.client import Exchange
    from loadtests.suite.plan import Key, Plan
    from loadtests.suite.verify import Answer

DEFAULT = "http://127.0.0.1:8080"
RETRIES = 3
_numbers = itertools.count()
_texts: dict[str, str] = {}
"""What greedy requests with a name were answered the first time in this process."""


class StreamingUser(User):
    """Subclasses say what to send: `plan`. Closed loop: one request after another, with pauses. Poisson: each user is a source of
    its own whose requests do not wait for each other, and the sum of N such sources is one of N times the rate.
    """

    abstract = True
    persona: ClassVar[str] = ""
    judged: ClassVar[bool] = True
    """Objectives of latency and goodput count it."""
    retries: ClassVar[bool] = True
    at_once: ClassVar[int] = 1
    """Requests of one turn."""
    _serial: ClassVar[int] = 0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        StreamingUser._serial += 1
        self.options = environment.parsed_options
        worker = getattr(environment.runner, "worker_index", 0)
        self.rng = Random(f"{self.options.seed}.{worker}.{self.persona}.{StreamingUser._serial}")
        self.model = self.options.served_model
        self._address = address(self.host or environment.host or DEFAULT, self.options.ca_file)
        main = self.options.api_key
        self._keys: dict[Key, str] = {
            "main": main,
            "metered": self.options.metered_key or main,
            "extractor": self.options.extractor_key or main,
            "wrong": "sk-wrong",
            "none": "",
        }
        self._idle: list[Connection] = []
        self._in_flight = Group()
        self._open: dict[int, float] = {}
        self._over = Event()
        self._end = math.inf
        self._begun = time.perf_counter()
        self._due: Iterator[float] = arrivals.poisson(self.options.rate, self.rng)
        self._next: float | None = None

    def plan(self) -> Plan:
        """The next request."""
        raise NotImplementedError

    def answered(self, plan: Plan, answer: Answer) -> Plan | None:
        """A request that follows upon a right answer, at once; None if that was all."""
        del plan, answer
        return None

    def wait_time(self) -> float:
        """Seconds until the next turn: in a closed loop, once everything is answered, a pause for thought, drawn from an
        exponential distribution. Locust can stop a user at once while it is here, and not while it acts.
        """
        if self.options.arrivals == "closed":
            self._in_flight.join()
            return self.rng.expovariate(1 / self.options.think) if self.options.think > 0 else 0.0
        self._next = self._begun + next(self._due)
        return max(0.0, self._next - time.perf_counter())

    @task
    def turn(self) -> None:
        self.act()

    def act(self) -> None:
        """One turn of Locust's own loop; in an open loop the first one only waits for its time."""
        due = time.perf_counter() if self.options.arrivals == "closed" else self._next
        if due is not None:
            self.send(due)

    def send(self, due: float) -> None:
        JOURNAL.turns += 1
        for _ in range(self.at_once):
            self._in_flight.spawn(self._converse, self.plan(), due)

    def on_stop(self) -> None:
        """What is in flight may end: a cut would be one more client that left, and nobody asked for it. What has not ended by
        then has failed.
        """
        begun = time.perf_counter()
        self._end = begun + self.options.drain
        self._over.set()
        try:
            self._in_flight.join(timeout=self.options.drain)
        finally:  # Locust itself may have lost patience
            for intended in self._open.values():
                self._give_up(Outcome.FAILED, intended, f"no end {time.perf_counter() - begun:.0f} s after the run's")
            self._open.clear()
            self._in_flight.kill(block=False)
            for connection in self._idle:
                connection.close()

    def _converse(self, plan: Plan | None, intended: float) -> None:
        number = next(_numbers)
        while plan is not None:
            self._open[number] = intended
            try:
                answer = self._until_answered(plan, intended)
                follow = None if answer is None else self.answered(plan, answer)
            except Exception as exc:  # noqa: BLE001  or it would end in a greenlet that nobody asks
                self._give_up(Outcome.FAILED, intended, f"the generator itself: {type(exc).__name__}: {exc}")
                follow = None
            finally:
                self._open.pop(number, None)
            plan, intended = follow, time.perf_counter()

    def _until_answered(self, plan: Plan, intended: float) -> Answer | None:
        """The right answer, whatever number of refusals it takes within reason; None if there was none."""
        due = intended
        for attempt in range(RETRIES + 1):
            exchange = self._send(plan)
            wait_s = retry_after_s(exchange.headers) if exchange.status in (429, 503) else None
            again = self.retries and wait_s is not None and attempt < RETRIES
            answer = self._read(exchange, plan)
            self._tell(self._record(plan, exchange, answer, intended, lag_s=exchange.sent - due, refused=again))
            if not again:
                return None if answer.problem else answer
            due = time.perf_counter() + (wait_s or 0.0)
            if self._over.wait(due - time.perf_counter()) and (due > self._end or not self.judged):
                self._give_up(Outcome.UNSERVED, intended)
                return None
            gevent.sleep(max(0.0, due - time.perf_counter()))
        return None

    def _read(self, exchange: Exchange, plan: Plan) -> Answer:
        answer = read_answer(exchange, plan)
        if plan.again and answer.text and not answer.problem:
            said = changed(_texts, plan.again, answer.text)
            answer.changed = bool(said)
            answer.problem = said if self.options.same_texts == "yes" else ""
        return answer

    def _send(self, plan: Plan) -> Exchange:
        payload = plan.payload(f"{self._address.host}:{self._address.port}", self._keys[plan.key])
        options = self.options
        connection = self._idle.pop() if self._idle else Connection(self._address, options.stall, options.keep_alive)
        exchange = connection.ask(payload, plan.leave)
        if connection.open:
            self._idle.append(connection)
        return exchange

    def _record(
        self, plan: Plan, exchange: Exchange, answer: Answer, intended: float, *, lag_s: float, refused: bool
    ) -> Record:
        left = plan.leave is not None and exchange.status < 400
        outcome = Outcome.FAILED if answer.problem else Outcome.LEFT if left else Outcome.RIGHT
        return Record(
            at=time.time() - (time.perf_counter() - intended),
            persona=self.persona,
            outcome=Outcome.REFUSED if refused else outcome,
            status=exchange.status,
            judged=self.judged,
            lag_s=lag_s,
            e2e_s=exchange.ended - intended,
            ttft_s=None if answer.first_at is None else answer.first_at - intended,
            queue_s=queue_s(exchange.headers),
            prompt_tokens=answer.prompt_tokens,
            tokens=answer.tokens,
            gaps=packed(answer.gaps_s),
            problem="" if refused else answer.problem,
            sent_s=exchange.sent - intended,
            changed=answer.changed,
            called=bool(answer.calls) if plan.calls and exchange.status == 200 and not answer.problem else None,
        )

    def _give_up(self, outcome: Outcome, intended: float, problem: str = "") -> None:
        """A request of which there is no answer to read."""
        age_s = time.perf_counter() - intended
        at = time.time() - age_s
        self._tell(Record(at, self.persona, outcome, 0, self.judged, 0.0, age_s, problem=problem, sent_s=age_s))

    def _tell(self, record: Record) -> None:
        JOURNAL.records.append(record)
        statistics.tell(self.environment, record)


def begin(**_: Any) -> None:
    """A second run from Locust's page is like the first: the seed gives the same requests, and the model may be another one."""
    _texts.clear()
    StreamingUser._serial = 0  # noqa: SLF001  ours


events.test_start.add_listener(begin)

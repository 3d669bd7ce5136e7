"""Arrivals → gateways → engines, and back what a gateway would hear: its own outputs at once, the engines' reports now and then."""

import heapq
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from gateway.routing.replica import Replica, Request
from gateway.routing.router import Ticket
from loadtests.arithmetic import percentile
from loadtests.simulation.mooncake import BLOCK_TOKENS, Arrival
from loadtests.simulation.routing_engine import Engine, Served
from loadtests.simulation.routing_policies import Policy

DECODE_RATE = 30.0
FIRST_GUESS = 256.0
UNBOUNDED = 1 << 40


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`utilisation`: offered work over what all engines could do if nothing were ever cached; it sets their speed, so that 2
    replicas are as busy as 8. `cache_blocks` of 512 tokens per engine; None never forgets.
    """

    replicas: int
    gateways: int = 1
    utilisation: float = 0.7
    cache_blocks: int | None = None
    report_s: float = 1.0
    seed: int = 1


class Outcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hit rate: share of all prompt blocks found in the chosen engine's cache. Load: tokens of work (uncached prompt + output).
    Time to first token: queue and prefill.
    """

    policy: str
    setup: Setup
    hit_rate: float
    max_over_mean_load: float
    ttft_mean_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    decision_p50_us: float
    decision_p99_us: float


class _Event(NamedTuple):
    at: float
    number: int
    happen: Callable[[], None]


@dataclass(slots=True)
class _Gateway:
    policy: Policy
    views: list[Replica]
    waiting: list[int]
    ended: int = 0
    generated: int = 0

    @property
    def guess(self) -> float:
        """How many tokens a request will generate: the mean of those that ended."""
        return (FIRST_GUESS * 16 + self.generated) / (16 + self.ended)


class Replay:
    """One policy over one trace."""

    def __init__(self, arrivals: Sequence[Arrival], setup: Setup) -> None:
        work = sum(arrival.input_length + arrival.output_length for arrival in arrivals)
        seconds = max(1.0, (arrivals[-1].timestamp - arrivals[0].timestamp) / 1000)
        rate = work / seconds / setup.replicas / setup.utilisation
        self._arrivals = arrivals
        self._setup = setup
        self._engines = [Engine(rate, DECODE_RATE, setup.cache_blocks) for _ in range(setup.replicas)]
        self._gateways: list[_Gateway] = []
        self._events: list[_Event] = []
        self._number = 0

    def run(self, name: str, policy: Callable[[Sequence[Replica], random.Random], Policy]) -> Outcome:
        setup, rng = self._setup, random.Random(self._setup.seed)
        for number in range(setup.gateways):
            views = [self._view(engine) for engine in range(setup.replicas)]
            own = random.Random(f"{setup.seed}/{number}")
            self._gateways.append(_Gateway(policy(views, own), views, [0] * setup.replicas))
        self._at(setup.report_s, lambda: self._report(setup.report_s))
        found = blocks = 0
        ttft, spent = [], []
        for arrival in self._arrivals:
            now = arrival.timestamp / 1000
            self._pass_until(now)
            served, seconds = self._send(arrival, rng.choice(self._gateways), now)
            found += served.found_blocks
            blocks += len(arrival.hash_ids)
            ttft.append(served.first_output_at - now)
            spent.append(seconds * 1e6)
        loads = [engine.work for engine in self._engines]
        return Outcome(
            policy=name,
            setup=setup,
            hit_rate=found / blocks,
            max_over_mean_load=max(loads) / statistics.fmean(loads),
            ttft_mean_s=statistics.fmean(ttft),
            ttft_p50_s=percentile(ttft, 0.5),
            ttft_p99_s=percentile(ttft, 0.99),
            decision_p50_us=percentile(spent, 0.5),
            decision_p99_us=percentile(spent, 0.99),
        )

    def _view(self, engine: int) -> Replica:
        kv_tokens = BLOCK_TOKENS * (self._setup.cache_blocks or UNBOUNDED)
        return Replica(f"engine-{engine}", kv_tokens=kv_tokens, max_requests=1 << 20)

    def _send(self, arrival: Arrival, gateway: _Gateway, now: float) -> tuple[Served, float]:
        guess = gateway.guess
        request = Request(arrival.hash_ids, arrival.input_length, guess)
        began = time.perf_counter()
        chosen, ticket = gateway.policy.choose(request, gateway.views, now)
        seconds = time.perf_counter() - began
        served = self._engines[chosen].serve(arrival, now)
        view = gateway.views[chosen]
        view.requests += 1
        prefill = arrival.input_length if ticket is None else ticket.uncached_tokens
        view.prefill_tokens += prefill
        view.decode_tokens += round(guess)
        gateway.waiting[chosen] += arrival.input_length
        self._at(served.first_output_at, lambda: self._prefilled(gateway, chosen, arrival))
        self._at(served.first_output_at, lambda: self._started(gateway, view, prefill, served, ticket))
        self._at(served.ends_at, lambda: self._ended(gateway, view, arrival, round(guess)))
        return served, seconds

    def _prefilled(self, gateway: _Gateway, engine: int, arrival: Arrival) -> None:
        gateway.waiting[engine] -= arrival.input_length

    def _started(self, gateway: _Gateway, view: Replica, prefill: int, served: Served, ticket: Ticket | None) -> None:
        view.prefill_tokens -= prefill
        if ticket is not None:
            gateway.policy.started(ticket, served.found_blocks * BLOCK_TOKENS)

    def _ended(self, gateway: _Gateway, view: Replica, arrival: Arrival, guessed: int) -> None:
        view.requests -= 1
        view.decode_tokens -= guessed
        gateway.ended += 1
        gateway.generated += arrival.output_length

    def _report(self, now: float) -> None:
        """Every engine tells every gateway its requests and waiting prompts, cached or not. Between two reports they grow old."""
        for engine in range(self._setup.replicas):
            views = [gateway.views[engine] for gateway in self._gateways]
            requests = sum(view.requests - view.others_requests for view in views)
            prompts = sum(gateway.waiting[engine] for gateway in self._gateways)
            for gateway, view in zip(self._gateways, views, strict=True):
                view.reported_at = now
                own = view.requests - view.others_requests, view.prefill_tokens - view.others_prefill_tokens
                view.others_requests, view.others_prefill_tokens = requests - own[0], prompts - gateway.waiting[engine]
                view.requests, view.prefill_tokens = own[0] + view.others_requests, own[1] + view.others_prefill_tokens
        then = now + self._setup.report_s
        self._at(then, lambda: self._report(then))

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, _Event(when, self._number, happen))

    def _pass_until(self, now: float) -> None:
        while self._events and self._events[0].at <= now:
            heapq.heappop(self._events).happen()

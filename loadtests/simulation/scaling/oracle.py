"""The least that knowing all arrivals beforehand would have cost: the bound that no policy can be expected to reach.

The work of every arrival is priced in seconds of a full replica. A schedule has, in each window, as many replicas as the work
of that window asks for, times a factor; a gap so short that stopping and starting again costs more than to go on is filled; and
each replica is asked for one start-up before it is needed. The factor is the smallest, to about one part in a hundred, with which
the simulated requests reach the goal; several widths of windows are tried, and the cheapest schedule is it. A found bound: the
true one may lie a little below.
"""

import math
from collections.abc import Callable, Sequence

from loadtests.simulation.scaling.arrivals import Trace
from loadtests.simulation.scaling.policies import Plan
from loadtests.simulation.scaling.speeds import Speeds
from loadtests.simulation.scaling.world import Outcome, Setup, World

WINDOWS_S = (10.0, 30.0, 60.0)
LOWEST, HIGHEST, PART = 0.7, 1.9, 0.01


def best(trace: Trace, setup: Setup, attainment: Callable[[Outcome], float], asked: Sequence[float]) -> list[Outcome]:
    """For each attainment that is asked for the cheapest run; if none reaches it, the one that attains most."""
    tried: list[tuple[float, Outcome]] = []
    for window_s in WINDOWS_S:
        work, here = demand(trace, setup.speeds, window_s), dict[float, tuple[float, Outcome]]()
        for wanted in asked:
            while True:
                low = max((factor for factor, one in here.items() if one[0] < wanted), default=LOWEST)
                high = min((factor for factor, one in here.items() if one[0] >= wanted), default=HIGHEST)
                if high - low <= PART:
                    break
                middle = (low + high) / 2
                outcome = run(trace, setup, [each * middle for each in work], window_s)
                here[middle] = (attainment(outcome), outcome)
        tried += here.values()
    return [_cheapest(tried, wanted) for wanted in asked]


def _cheapest(tried: Sequence[tuple[float, Outcome]], wanted: float) -> Outcome:
    enough = [outcome for attained, outcome in tried if attained >= wanted]
    return min(enough, key=lambda one: one.replica_s) if enough else max(tried, key=lambda one: one[0])[1]


def demand(trace: Trace, speeds: Speeds, window_s: float) -> list[float]:
    """Replicas' worth of work in each window; an answer's share is spread over the time that it takes to decode."""
    windows = [0.0] * (int(trace.span_s / window_s) + 1)
    step_s = speeds.step_s[speeds.slots]
    for arrival in trace.arrivals:
        windows[int(arrival.at / window_s)] += speeds.prefill_s(arrival.prompt)
        begin, seconds = arrival.at, arrival.output * step_s
        price = seconds / speeds.slots
        while True:
            window = int(begin / window_s)
            if window >= len(windows):
                break
            here = min(seconds, (window + 1) * window_s - begin)
            windows[window] += price * here / max(arrival.output * step_s, 1e-9)
            seconds -= here
            begin = (window + 1) * window_s
            if seconds <= 0:
                break
    return [each / window_s for each in windows]


def run(trace: Trace, setup: Setup, needed: list[float], window_s: float) -> Outcome:
    counts = [min(setup.most, max(setup.least, math.ceil(each))) for each in needed]
    filled = fill(counts, math.ceil(setup.startup_s / window_s))
    steps = asked_for(filled, window_s, setup.startup_s)
    return World(trace, setup._replace(first=steps[0][1]), Plan("oracle", steps)).run()


def fill(counts: list[int], gap: int) -> list[int]:
    """Dips of at most `gap` windows filled up: a replica costs its start-up, whether it serves then or not."""
    filled = list(counts)
    for level in range(max(counts), 0, -1):
        last: int | None = None
        for place, count in enumerate(counts):
            if count >= level:
                if last is not None and place - last - 1 <= gap:
                    for between in range(last + 1, place):
                        filled[between] = max(filled[between], level)
                last = place
    return filled


def asked_for(counts: list[int], window_s: float, startup_s: float) -> list[tuple[float, int]]:
    """(second, replicas asked for): those needed now, and those needed by the time that one asked for now serves."""
    ahead = math.ceil(startup_s / window_s)
    return [(place * window_s, max(counts[place : place + ahead + 1])) for place in range(len(counts))]

"""The same arrivals in the simulator, with speeds and start-up times measured on this very Sluice."""

import math
import statistics
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from gateway.config.autoscaling import Autoscaling
from loadtests.arithmetic import percentile
from loadtests.scaling.watch import Answer, Look
from loadtests.simulation.scaling.arrivals import Arrival, Trace
from loadtests.simulation.scaling.policies import Sluice
from loadtests.simulation.scaling.speeds import Speeds
from loadtests.simulation.scaling.world import Setup, World

PROMPT_TOKENS = 24
"""Of the demo model's template and question, about: they are short, so that prefill is one step."""


class Beside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of all requests, measured and simulated: mean and p90 of the wait at the gateway and of the time to the first token (s). Of
    the seconds from the first arrival until `until_s`: requests waiting (mean), replicas asked for (mean and most); `queue_apart`
    and `replicas_apart` are the mean distances second by second. `queue` and `replicas` are the simulated courses.
    """

    until_s: float
    wait_mean_s: tuple[float, float]
    wait_p90_s: tuple[float, float]
    ttft_mean_s: tuple[float, float]
    ttft_p90_s: tuple[float, float]
    queue_mean: tuple[float, float]
    queue_apart: float
    replicas_mean: tuple[float, float]
    replicas_most: tuple[int, int]
    replicas_apart: float
    startup_s: float
    step_s: tuple[float, ...]
    queue: list[tuple[float, int]]
    replicas: list[tuple[float, int]]

    @property
    def errors(self) -> dict[str, float]:
        """Simulated over measured, less one."""
        pairs = {
            "wait, mean": self.wait_mean_s,
            "wait, p90": self.wait_p90_s,
            "TTFT, mean": self.ttft_mean_s,
            "TTFT, p90": self.ttft_p90_s,
            "queue, mean": self.queue_mean,
            "replicas, mean": self.replicas_mean,
        }
        return {name: simulated / measured - 1 for name, (measured, simulated) in pairs.items() if measured}


def speeds(alone: Sequence[Answer], full: Sequence[Answer], slots: int, tokens: int) -> Speeds:
    """From one stream at a time and from as many at once as an engine has slots, each of `tokens` tokens."""
    one = statistics.median((each.seconds - each.ttft_s) / (tokens - 1) for each in alone)
    many = statistics.median((each.seconds - each.ttft_s) / (tokens - 1) for each in full)
    steps = tuple(one + (many - one) * max(0, batch - 1) / (slots - 1) for batch in range(slots + 1))
    prefill_s = statistics.median(each.ttft_s for each in alone)
    return Speeds("measured here", steps, ((0.0, prefill_s), (1000.0, prefill_s)))


def simulate(
    arrivals: Sequence[Arrival],
    engine: Speeds,
    config: Autoscaling,
    startup_s: float,
    answers: Sequence[Answer],
    looks: Sequence[Look],
) -> Beside:
    """`looks` from the first arrival on; the simulated policy knows the start-up time, as the real one does by then."""
    given = tuple(arrival._replace(prompt=PROMPT_TOKENS) for arrival in arrivals)
    setup = Setup(
        engine, startup_s, least=max(1, config.min_replicas), most=config.max_replicas, first=1, deadline_s=math.inf
    )
    policy = Sluice(config.model_copy(update={"startup_s": startup_s}))
    outcome = World(Trace("measured", given), setup, policy).run(sample=lambda _now: True)
    until = min(given[-1].at, looks[-1].at)
    during = [look for look in looks if look.at <= until]
    ttfts = [answer.ttft_s for answer in answers]
    waits = [answer.wait_s for answer in answers]
    queue = [(look.waiting, _at(outcome.queues, look.at)) for look in during]
    replicas = [(look.target, _at(outcome.counts, look.at)) for look in during]
    return Beside(
        until_s=until,
        wait_mean_s=(statistics.fmean(waits), statistics.fmean(outcome.waits)),
        wait_p90_s=(percentile(waits, 0.9), percentile(outcome.waits, 0.9)),
        ttft_mean_s=(statistics.fmean(ttfts), statistics.fmean(outcome.ttfts)),
        ttft_p90_s=(percentile(ttfts, 0.9), percentile(outcome.ttfts, 0.9)),
        queue_mean=_means(queue),
        queue_apart=statistics.fmean(abs(a - b) for a, b in queue),
        replicas_mean=_means(replicas),
        replicas_most=(max(a for a, _ in replicas), max(b for _, b in replicas)),
        replicas_apart=statistics.fmean(abs(a - b) for a, b in replicas),
        startup_s=startup_s,
        step_s=engine.step_s,
        queue=outcome.queues,
        replicas=outcome.counts,
    )


def startups(looks: Sequence[Look]) -> list[float]:
    """Seconds that each replica took to serve, from the look that first saw it asked for; those that never came are left out."""
    asked: list[float] = []
    took: list[float] = []
    for before, look in pairwise(looks):
        asked += [look.at] * (look.target - before.target)
        come = max(0, min(len(asked), look.engines - before.engines))
        took += [look.at - at for at in asked[:come]]
        asked = asked[come:]
        asked = asked[: max(0, look.target - look.engines)]
    return took


def _at(course: Sequence[tuple[float, int]], at: float) -> int:
    return next((value for second, value in reversed(course) if second <= at), course[0][1])


def _means(pairs: Sequence[tuple[int, int]]) -> tuple[float, float]:
    return statistics.fmean(a for a, _ in pairs), statistics.fmean(b for _, b in pairs)

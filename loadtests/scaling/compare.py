"""The same arrivals in the simulator, with speeds measured on this very Sluice."""

import statistics
from collections.abc import Sequence

import msgspec

from gateway.config.autoscaling import Autoscaling
from loadtests.scaling.watch import Answer, Look
from loadtests.simulation.scaling.arrivals import Arrival, Trace
from loadtests.simulation.scaling.policies import Sluice
from loadtests.simulation.scaling.speeds import Speeds
from loadtests.simulation.scaling.world import Setup, World

PROMPT_TOKENS = 24
"""Of the demo model's template and question, about: they are short, so that prefill is one step."""


class Beside(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mean and p90 time to the first token, and replicas asked for (mean and most), measured and simulated."""

    ttft_mean_s: tuple[float, float]
    ttft_p90_s: tuple[float, float]
    queue_mean: tuple[float, float]
    replicas_mean: tuple[float, float]
    replicas_most: tuple[int, int]
    startup_s: float
    step_s: tuple[float, ...]
    simulated: list[tuple[float, int]]

    @property
    def errors(self) -> dict[str, float]:
        """Simulated over measured, less one."""
        pairs = {"TTFT mean": self.ttft_mean_s, "TTFT p90": self.ttft_p90_s, "queue, mean": self.queue_mean}
        pairs |= {"replicas, mean": self.replicas_mean}
        return {name: simulated / measured - 1 for name, (measured, simulated) in pairs.items() if measured}


def speeds(alone: Answer, full: Sequence[Answer], tokens: int) -> Speeds:
    """From one stream alone and from as many at once as an engine has slots, each of `tokens` tokens."""
    slots = len(full)
    one = (alone.seconds - alone.ttft_s) / (tokens - 1)
    many = statistics.fmean((each.seconds - each.ttft_s) / (tokens - 1) for each in full)
    steps = tuple(one + (many - one) * max(0, batch - 1) / (slots - 1) for batch in range(slots + 1))
    return Speeds("measured here", steps, ((0.0, alone.ttft_s), (1000.0, alone.ttft_s)))


def simulate(
    arrivals: Sequence[Arrival],
    engine: Speeds,
    config: Autoscaling,
    startup_s: float,
    answers: Sequence[Answer],
    looks: Sequence[Look],
) -> Beside:
    """`looks` of the time of the arrivals and after."""
    given = tuple(arrival._replace(prompt=PROMPT_TOKENS) for arrival in arrivals)
    setup = Setup(engine, startup_s, least=max(1, config.min_replicas), most=config.max_replicas, first=1)
    outcome = World(Trace("measured", given), setup, Sluice(config)).run(sample=lambda _now: True)
    until = given[-1].at
    measured = [answer.ttft_s for answer in answers]
    during = [look for look in looks if look.at <= until]
    return Beside(
        ttft_mean_s=(statistics.fmean(measured), statistics.fmean(outcome.ttfts)),
        ttft_p90_s=(_p90(measured), _p90(outcome.ttfts)),
        queue_mean=(
            statistics.fmean(look.waiting for look in during),
            statistics.fmean(number for at, number in outcome.queues if at <= until),
        ),
        replicas_mean=(statistics.fmean(look.target for look in during), _mean(outcome.counts, until)),
        replicas_most=(max(look.target for look in during), max(count for _, count in outcome.counts)),
        startup_s=startup_s,
        step_s=engine.step_s,
        simulated=outcome.counts,
    )


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def _mean(counts: Sequence[tuple[float, int]], until: float) -> float:
    """Over time, of a step function."""
    ends = [at for at, _ in counts[1:]] + [until]
    return sum(count * max(0.0, min(end, until) - at) for (at, count), end in zip(counts, ends, strict=True)) / until

"""One case (a trace and a start-up time): all policies on it, baselines with every setting of a grid, and how ours compares.

"Best tuned" is meant against us: of all settings of all baselines, chosen with hindsight on the very trace and start-up time, the
cheapest that misses no more than we do, and of those no dearer than us the one that misses least. Ours has its defaults everywhere.
"""

import itertools
import math
from collections.abc import Callable, Iterator

import msgspec

from gateway.config.autoscaling import Autoscaling
from loadtests.arithmetic import percentile
from loadtests.simulation.scaling import oracle
from loadtests.simulation.scaling.arrivals import Trace
from loadtests.simulation.scaling.policies import Keda, RayServe, Sluice
from loadtests.simulation.scaling.speeds import Speeds
from loadtests.simulation.scaling.world import Outcome, Policy, Setup, World

SAVING, MISSES, ORACLE = 0.85, 0.5, 1.3
BEGINNING_S = 300.0
OURS, RAY, RAY_TUNED, KEDA, KEDA_TUNED, PERFECT = (
    "Sluice",
    "Ray Serve, defaults",
    "Ray Serve, tuned",
    "KEDA, defaults",
    "KEDA, tuned",
    "oracle",
)
RAY_GRID = ((12, 16, 24, 32, 40, 48, 56), (0, 30), (30, 120, 300, 600), (10, 30))
KEDA_GRID = ((1, 3, 10), (5, 15), (60, 120, 300))
QUICK_RAY_GRID = ((16, 24, 32, 48), (0, 30), (60, 300), (10,))
QUICK_KEDA_GRID = ((1, 5), (5,), (120, 300))


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`attained`: share of requests whose first token came within the goal. `turns`: ups that followed downs and the reverse."""

    policy: str
    setting: str
    attained: float
    ttft_p50_s: float
    ttft_p99_s: float
    replica_hours: float
    ups: int
    downs: int
    turns: int


class Verdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`hours`: ours over those of the cheapest baseline that misses no more (None: none does). `misses`: ours over those of the
    baseline that misses least at no more replica-hours (None: none is as cheap). `oracle`: our replica-hours over its.
    """

    hours: float | None
    misses: float | None
    oracle: float

    @property
    def held(self) -> bool:
        cheaper = self.hours is None or self.hours <= SAVING
        surer = self.misses is None or self.misses <= MISSES
        return (cheaper or surer) and self.oracle <= ORACLE


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rows`: ours, baselines with their defaults and as tuned, the oracle. `settings`: how many were tried of baselines."""

    trace: str
    requests: int
    startup_s: float
    goal_s: float
    settings: int
    rows: list[Row]
    verdict: Verdict


Job = Callable[[], tuple[str, Outcome]]


def setup(trace: Trace, speeds: Speeds, startup_s: float) -> Setup:
    """Everybody begins with as many replicas as the first minutes need: how a service is opened is not what is compared."""
    windows = oracle.demand(trace, speeds, 60.0)[: int(BEGINNING_S / 60)]
    return Setup(speeds, startup_s, first=max(1, math.ceil(sum(windows) / len(windows) / 0.8)))


def policies(most: int, *, quick: bool) -> Iterator[tuple[str, Policy]]:
    yield OURS, Sluice(Autoscaling(max_replicas=most))
    yield RAY, RayServe()
    yield KEDA, Keda()
    for target, up, down, look_back in itertools.product(*(QUICK_RAY_GRID if quick else RAY_GRID)):
        yield RAY_TUNED, RayServe(target, up, down, look_back)
    for threshold, poll, down in itertools.product(*(QUICK_KEDA_GRID if quick else KEDA_GRID)):
        yield KEDA_TUNED, Keda(threshold, poll, down)


def row(kind: str, outcome: Outcome, goal_s: float) -> Row:
    ttfts = outcome.ttfts
    return Row(
        policy=kind,
        setting=outcome.policy,
        attained=attained(outcome, goal_s),
        ttft_p50_s=percentile(ttfts, 0.5),
        ttft_p99_s=percentile(ttfts, 0.99),
        replica_hours=outcome.replica_s / 3600,
        ups=outcome.ups,
        downs=outcome.downs,
        turns=outcome.turns,
    )


def attained(outcome: Outcome, goal_s: float) -> float:
    return sum(ttft <= goal_s for ttft in outcome.ttfts) / len(outcome.ttfts)


def compare(rows: list[Row]) -> Verdict:
    """Of all rows of a case."""
    [ours] = [each for each in rows if each.policy == OURS]
    [perfect] = [each for each in rows if each.policy == PERFECT]
    others = [each for each in rows if each.policy not in (OURS, PERFECT)]
    as_sure = [each.replica_hours for each in others if each.attained >= ours.attained]
    as_cheap = [1 - each.attained for each in others if each.replica_hours <= ours.replica_hours]
    hours = ours.replica_hours / min(as_sure) if as_sure else None
    misses = None
    if as_cheap:
        missed, theirs = 1 - ours.attained, min(as_cheap)
        misses = missed / theirs if theirs else float(missed > 0) or 1.0
    return Verdict(hours, misses, ours.replica_hours / perfect.replica_hours)


def tuned(rows: list[Row], kind: str, asked: float) -> Row:
    """The cheapest setting that attains what is asked for, or the one that attains most."""
    tried = [each for each in rows if each.policy == kind]
    enough = [each for each in tried if each.attained >= asked]
    return min(enough, key=lambda one: one.replica_hours) if enough else max(tried, key=lambda one: one.attained)


def shown(rows: list[Row], asked: float) -> list[Row]:
    single = {each.policy: each for each in rows if each.policy not in (RAY_TUNED, KEDA_TUNED)}
    chosen = {kind: tuned(rows, kind, asked) for kind in (RAY_TUNED, KEDA_TUNED)}
    return [(single | chosen)[kind] for kind in (OURS, RAY, RAY_TUNED, KEDA, KEDA_TUNED, PERFECT)]


def run(trace: Trace, speeds: Speeds, startup_s: float, most: int, kind: str, policy: Policy) -> tuple[str, Outcome]:
    return kind, World(trace, setup(trace, speeds, startup_s)._replace(most=most), policy).run()


def perfect(trace: Trace, speeds: Speeds, startup_s: float, most: int, goal_s: float, asked: float) -> Outcome:
    given = setup(trace, speeds, startup_s)._replace(most=most)
    return oracle.best(trace, given, lambda outcome: attained(outcome, goal_s), asked)

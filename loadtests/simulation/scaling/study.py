"""One case (a trace and a start-up time): all policies on it, and how ours compares.

"Best tuned" is meant against us: all settings of all baselines, chosen with hindsight on the very trace and start-up time
(search.py), and lines between the best of them (verdict.py). Ours has its defaults everywhere.
"""

import math
from collections.abc import Callable, Sequence

import msgspec

from gateway.config.autoscaling import Autoscaling
from loadtests.arithmetic import percentile
from loadtests.simulation.scaling import oracle, search
from loadtests.simulation.scaling.arrivals import Trace
from loadtests.simulation.scaling.policies import Keda, RayServe, Sluice
from loadtests.simulation.scaling.search import Setting
from loadtests.simulation.scaling.speeds import Speeds
from loadtests.simulation.scaling.verdict import Verdict, compare
from loadtests.simulation.scaling.world import Outcome, Policy, Setup, World

BEGINNING_S = 300.0
ROUNDS, QUICK_ROUNDS = 12, 1
OURS, RAY, KEDA, PERFECT, PERFECT_AS_SURE = (
    "Sluice",
    "Ray Serve, defaults",
    "KEDA on waiting, defaults",
    "oracle",
    "oracle, as sure as ours",
)
TUNED = {"ray": "Ray Serve, tuned", "keda": "KEDA on waiting, tuned", "running": "KEDA on waiting and running, tuned"}
"""By family of settings."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`attained`: share of requests whose first token came within the goal; those `refused` are late, but not in the percentiles.
    `turns`: ups that followed downs and the reverse.
    """

    policy: str
    setting: str
    attained: float
    ttft_p50_s: float
    ttft_p99_s: float
    refused: int
    replica_hours: float
    ups: int
    downs: int
    turns: int


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`rows`: ours, baselines with their defaults and as tuned, the oracles. `settings`: how many were tried of baselines."""

    trace: str
    requests: int
    startup_s: float
    goal_s: float
    settings: int
    rows: list[Row]
    verdict: Verdict


class Given(msgspec.Struct, frozen=True):
    """`asked`: the share of requests in time that tuning aims at."""

    trace: Trace
    speeds: Speeds
    startup_s: float
    most: int
    goal_s: float
    asked: float

    @property
    def setup(self) -> Setup:
        """Everybody begins with as many replicas as the first minutes need: how a service is opened is not what is compared."""
        windows = oracle.demand(self.trace, self.speeds, 60.0)[: int(BEGINNING_S / 60)]
        first = max(1, math.ceil(sum(windows) / len(windows) / 0.8))
        return Setup(self.speeds, self.startup_s, first=first, most=self.most)


def row(kind: str, outcome: Outcome, goal_s: float) -> Row:
    ttfts = [each for each in outcome.ttfts if math.isfinite(each)]
    return Row(
        policy=kind,
        setting=outcome.policy,
        attained=attained(outcome, goal_s),
        ttft_p50_s=percentile(ttfts, 0.5),
        ttft_p99_s=percentile(ttfts, 0.99),
        refused=outcome.refused,
        replica_hours=outcome.replica_s / 3600,
        ups=outcome.ups,
        downs=outcome.downs,
        turns=outcome.turns,
    )


def attained(outcome: Outcome, goal_s: float) -> float:
    return sum(ttft <= goal_s for ttft in outcome.ttfts) / len(outcome.ttfts)


def run(given: Given, policy: Policy) -> Outcome:
    return World(given.trace, given.setup, policy).run()


def tried(given: Given, setting: Setting) -> Row:
    return row(TUNED[setting.family], run(given, setting.policy()), given.goal_s)


def tuned(rows: Sequence[Row], asked: float) -> Row:
    """The cheapest that attains what is asked for, or the one that attains most."""
    enough = [each for each in rows if each.attained >= asked]
    return min(enough, key=lambda one: one.replica_hours) if enough else max(rows, key=lambda one: one.attained)


def best_of_each(rows: Sequence[Row], asked: float) -> list[Row]:
    return [tuned([each for each in rows if each.policy == kind], asked) for kind in TUNED.values()]


def nearest(rows: Sequence[Row], ours: Row, asked: float) -> list[Row]:
    """Whom to look around for better ones: as tuned, the cheapest as sure as ours, the surest as cheap."""
    found = best_of_each(rows, asked)
    found.append(tuned(rows, ours.attained))
    cheap = [each for each in rows if each.replica_hours <= ours.replica_hours]
    found.append(max(cheap, key=lambda one: one.attained) if cheap else min(rows, key=lambda one: one.replica_hours))
    return found


def ours(most: int) -> Sluice:
    return Sluice(Autoscaling(max_replicas=most))


def case(given: Given, rounds: int, run_all: Callable[[list[Setting]], list[Row]]) -> tuple[Case, dict[str, Outcome]]:
    """And the runs to be drawn, by policy. `run_all` runs `tried`."""
    mine = run(given, ours(given.most))
    own = row(OURS, mine, given.goal_s)

    def best(found: dict[Setting, Row]) -> list[Setting]:
        by_row = {id(each): setting for setting, each in found.items()}
        return [by_row[id(each)] for each in nearest(list(found.values()), own, given.asked)]

    found = search.explore(run_all, best, rounds)
    every = list(found.values())
    untuned = [row(kind, run(given, policy), given.goal_s) for kind, policy in ((RAY, RayServe()), (KEDA, Keda()))]
    perfect = oracle.best(
        given.trace, given.setup, lambda outcome: attained(outcome, given.goal_s), (given.asked, own.attained)
    )
    perfects = [
        row(kind, outcome, given.goal_s) for kind, outcome in zip((PERFECT, PERFECT_AS_SURE), perfect, strict=True)
    ]
    chosen = best_of_each(every, given.asked)
    made = Case(
        trace=given.trace.name,
        requests=len(given.trace.arrivals),
        startup_s=given.startup_s,
        goal_s=given.goal_s,
        settings=len(every) + len(untuned),
        rows=[own, *untuned, *chosen, *perfects],
        verdict=compare(point(own), map(point, [*every, *untuned]), *(each.replica_hours for each in perfects)),
    )
    drawn = {OURS: mine, PERFECT: perfect[0]}
    for setting, each in found.items():
        if each in chosen:
            drawn[each.policy] = run(given, setting.policy())
    return made, drawn


def point(one: Row) -> tuple[float, float]:
    return one.replica_hours, 1 - one.attained

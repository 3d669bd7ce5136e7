"""The schema of loadtests/results/guard-*.json, and how outcomes become it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway.guard.verdict import Level
from loadtests.evaluation import statistics
from loadtests.evaluation.replay import KeyDay
from loadtests.evaluation.statistics import Share
from loadtests.evaluation.worlds import Outcome

SCHEMA = 1
POINTS = 200
"""Of a curve that is kept."""
FOUND = Level.STRIP
"""The level whose threshold is set to one false alarm in a hundred honest key-days."""


class Honest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One family: false alarms by level, and which features raised them."""

    family: str
    key_days: int
    requests: int
    alarms: dict[str, Share]
    reasons: dict[str, int]


class Attack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One campaign: keys found at each level, AUROC of its key-days against all honest ones, harvest before each level.

    `curve`: (hours, share of the harvest sent, share of it sent before THROTTLE), cumulative, of the first seed.
    """

    family: str
    keys: int
    key_days: int
    requests: int
    harvested: int
    auroc: float
    found: dict[str, Share]
    leaked: dict[str, float]
    reasons: dict[str, int]
    curve: list[tuple[float, float, float]]


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One evaluation. Scores are the peaks of all key-days, for the ROC."""

    schema: int
    started: str
    seconds: float
    command: list[str]
    commit: str
    split: str
    seeds: list[int]
    machine: dict[str, str]
    calibration_key_days: int
    thresholds: dict[str, float]
    honest: list[Honest]
    attacks: list[Attack]
    honest_scores: list[float]
    attack_scores: dict[str, list[float]]


def honest_of(days: Sequence[KeyDay]) -> list[Honest]:
    everyone = {"all": list(days)} if days else {}
    return [
        Honest(
            family,
            len(each),
            sum(day.requests for day in each),
            {level.label: statistics.alarms(each, level) for level in Level if level},
            dict(statistics.reasons(each)),
        )
        for family, each in (statistics.by_family(days) | everyone).items()
    ]


def attacks_of(outcomes: Sequence[Outcome], honest: Sequence[float]) -> list[Attack]:
    """`honest`: scores of the honest key-days that attackers are held against."""
    days = [day for outcome in outcomes for day in outcome.days if day.attack]
    curves: dict[str, list[tuple[float, float, float]]] = {}
    for outcome in outcomes:
        for campaign in outcome.campaigns:
            curves.setdefault(campaign.family, _thinned(campaign.curve))
    return [
        Attack(
            family,
            len({day.key for day in each}),
            len(each),
            sum(day.requests for day in each),
            sum(day.harvested for day in each),
            statistics.auroc(honest, [day.score for day in each]),
            {level.label: statistics.found(each, level) for level in Level if level},
            {level.label: statistics.leaked(each, level.label) for level in Level if level},
            dict(statistics.reasons(each)),
            curves.get(family, []),
        )
        for family, each in statistics.by_family(days).items()
    ]


def _thinned(curve: list[tuple[float, int, int]]) -> list[tuple[float, float, float]]:
    if not curve:
        return []
    whole = max(curve[-1][1], 1)
    kept = [*curve[:: max(1, len(curve) // POINTS)], curve[-1]]
    return [(round(at / 3600, 3), round(sent / whole, 4), round(before / whole, 4)) for at, sent, before in kept]


def write(results: Results, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def read(file: Path) -> Results:
    """Raises msgspec.ValidationError if the file has another schema."""
    results = msgspec.json.decode(file.read_bytes(), type=Results)
    if results.schema != SCHEMA:
        raise msgspec.ValidationError(f"schema {results.schema}, this reader knows {SCHEMA}")
    return results

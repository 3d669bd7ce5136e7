"""Results → tables on a terminal, and the page docs/guard-evaluation.md."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtests.evaluation import plots, statistics
from loadtests.evaluation.results import FOUND, Attack, Honest, Results
from loadtests.evaluation.statistics import Share

HYDRA = "hydra, 50 % cover"
AUROC_AIM, FOUND_AIM, ALARM_AIM, LEAK_AIM = 0.98, 0.95, 0.01, 0.2
INDISTINGUISHABLE = ("forwarded users",)
"""Attacks whose requests are those of honest users: named as failures, and left out of the figures over all attacks."""


def aims(results: Results) -> list[tuple[str, float, str, bool]]:
    """(what, value, bar, met)."""
    scores = [s for name, each in results.attack_scores.items() if name not in INDISTINGUISHABLE for s in each]
    area = statistics.auroc(results.honest_scores, scores)
    found = [attack.found[FOUND.label] for attack in results.attacks if attack.family not in INDISTINGUISHABLE]
    share = sum(one.hits for one in found) / max(1, sum(one.of for one in found))
    alarm = next(one for one in results.honest if one.family == "all").alarms[FOUND.label].value
    leak = next(attack.leaked["throttle"] for attack in results.attacks if attack.family == HYDRA)
    return [
        ("AUROC over key-days", area, f"≥ {AUROC_AIM}", area >= AUROC_AIM),
        ("attacking keys found", share, f"≥ {FOUND_AIM}", share >= FOUND_AIM),
        ("false alarms per honest key-day", alarm, f"≤ {ALARM_AIM}", alarm <= ALARM_AIM),
        (f"harvest had before throttling, {HYDRA}, 100 keys", leak, f"≤ {LEAK_AIM}", leak <= LEAK_AIM),
    ]


def mean_found(results: Results) -> float:
    """Of attacks, each weighing the same however many keys it has."""
    found = [each.found[FOUND.label].value for each in results.attacks if each.family not in INDISTINGUISHABLE]
    return sum(found) / max(1, len(found))


def failures(results: Results) -> list[str]:
    """Attacks that by themselves miss an aim, and honest families with a false alarm."""
    told = []
    for attack in results.attacks:
        found, throttled, had = attack.found[FOUND.label], attack.found["throttle"], attack.leaked["throttle"]
        if found.value < FOUND_AIM or had > LEAK_AIM:
            told.append(
                f"- *{attack.family}*: {_of(found)} keys found, {throttled.hits} throttled; {100 * had:.1f} % had before throttling"
            )
    for one in results.honest:
        strip, throttled, verified = (one.alarms[level] for level in ("strip", "throttle", "verify"))
        if strip.hits and one.family != "all":
            told.append(
                f"- *{one.family}*, honest: {_of(strip)} key-days stripped, {throttled.hits} throttled, {verified.hits} held"
            )
    return told


def show(results: Results, console: Console) -> None:
    for title, head, rows in (
        (f"False alarms per key-day, {results.split} part", HONEST_HEAD, map(_honest, results.honest)),
        (f"Attacks, {results.split} part", ATTACK_HEAD, map(_attack, results.attacks)),
    ):
        table = Table(*head, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for what, value, bar, met in aims(results):
        console.print(f"{what}: {value:.4f} ({bar}): {'met' if met else 'MISSED'}")


HONEST_HEAD = ("family", "key-days", "requests", "strip", "throttle", "verify or above", "raised by")
ATTACK_HEAD = (
    "attack",
    "keys",
    "key-days",
    "AUROC",
    "keys found",
    "keys throttled",
    "had before throttling",
    "had before verification",
    "found by",
)


def _share(share: Share) -> str:
    return f"{100 * share.value:.2f} % ({100 * share.low:.2f}–{100 * share.high:.2f})"


def _of(share: Share) -> str:
    return f"{share.hits} of {share.of} ({100 * share.low:.1f}–{100 * share.high:.1f} %)"


def _top(reasons: dict[str, int]) -> str:
    return ", ".join(list(reasons)[:3])


def _honest(one: Honest) -> tuple[str, ...]:
    shares = (_share(one.alarms[level]) for level in ("strip", "throttle", "verify"))
    return (one.family, str(one.key_days), str(one.requests), *shares, _top(one.reasons))


def _attack(one: Attack) -> tuple[str, ...]:
    shares = (_share(one.found[level]) for level in (FOUND.label, "throttle"))
    had = (f"{100 * one.leaked[level]:.1f} %" for level in ("throttle", "verify"))
    return (one.family, str(one.keys), str(one.key_days), f"{one.auroc:.3f}", *shares, *had, _top(one.reasons))


def write(results: Results, file: Path, source: str) -> None:
    """`source`: the name of the results file behind the page."""
    lines = [
        "# How well the guard does",
        "",
        f"Written by `python -m loadtests.evaluation report` from `loadtests/results/{source}` ({results.split} part, commit",
        f"{results.commit}, seeds {results.seeds[0]}–{results.seeds[-1]}, {results.seconds:.0f} s). All traffic is simulated by",
        "`loadtests/traffic` and goes through the gateway's own detector with simulated time. Thresholds were fixed on the",
        f"calibration part ({results.calibration_key_days} honest key-days); no tenant and no piece of a template is in two parts.",
        "",
        "| aim | measured | bar | |",
        "|---|---:|---:|---|",
        *(
            f"| {what} | {value:.4f} | {bar} | {'met' if met else '**missed**'} |"
            for what, value, bar, met in aims(results)
        ),
        "",
        f"Left out of the first two figures: {', '.join(INDISTINGUISHABLE)}. Bounds are Clopper and Pearson's, 95 %, over",
        "key-days; those of one key are not independent of each other. The second is mostly hydras, of a hundred keys each; if",
        f"every attack weighs the same, {100 * mean_found(results):.1f} % of keys are found.",
        "",
        "## Failures, by name",
        "",
        *failures(results),
        "",
        "## False alarms per key-day",
        "",
        *_markdown(HONEST_HEAD, map(_honest, results.honest)),
        "",
        "## Attacks",
        "",
        *_markdown(ATTACK_HEAD, map(_attack, results.attacks)),
        "",
        f"![ROC by attack](images/{plots.ROC})",
        "",
        f"![What a harvest gets before its keys are throttled](images/{plots.LEAKED})",
        "",
    ]
    before = file.read_text(encoding="utf-8").partition(NOTES)[2] if file.exists() else ""
    file.write_text("\n".join([*lines, NOTES.strip()]) + (before or "\n"), encoding="utf-8")


NOTES = "## What to make of it"
"""From here on the page is written by hand, and kept."""


def _markdown(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 2) + "---|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]

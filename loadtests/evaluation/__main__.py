"""`python -m loadtests.evaluation calibrate | judge | report`: what is usual, how the guard does, and the page about it."""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console

from gateway.guard import fitting
from gateway.guard.calibration import Calibration
from gateway.guard.features import Features
from loadtests.bench.__main__ import PIPED_WIDTH, ROOT, commit
from loadtests.bench.probe import machine
from loadtests.evaluation import plots, report, statistics, worlds
from loadtests.evaluation.results import SCHEMA, Results, attacks_of, honest_of, read, write
from loadtests.traffic.call import Split

PACKAGED = ROOT / "gateway" / "guard" / "calibration.json"
UNKNOWN = (0.0, 1.0, 2.0, 3.0)
"""Quantiles while there are none yet: nothing is decided by them."""


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.evaluation", description="Judges the guard.")
    commands = root.add_subparsers(dest="command", required=True)
    for name, what in (
        ("calibrate", "honest traffic of the calibration part → the table of what is usual"),
        ("judge", "honest traffic and attacks of a part → a table and a JSON file"),
    ):
        one = commands.add_parser(name, help=what)
        one.add_argument("--seeds", type=int, default=10, help="worlds of honest traffic (default: 10)")
        one.add_argument("--tenants", type=int, default=10, help="of each family in a world (default: 10)")
        one.add_argument("--days", type=int, default=3, help="simulated days (default: 3)")
        one.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
        one.add_argument("--out", type=Path)
        if name == "judge":
            one.add_argument("--split", type=str.upper, default="TEST", choices=[split.name for split in Split])
            one.add_argument("--calibration", type=Path, help="default: the packaged one")
            one.add_argument("--full", action="store_true", help="the slow drip at its length: 1,000 keys, 45 days")
            one.add_argument(
                "--first-seed", type=int, default=1000, help="fresh ones for a last judgement (default: 1000)"
            )
            one.add_argument("--attack-seeds", type=int, default=2, help="worlds for each attack at least (default: 2)")
            one.add_argument("--attack-keys", type=int, default=20, help="of each attack at least (default: 20)")
    told = commands.add_parser("report", help="a JSON file of `judge` → docs/guard-evaluation.md and its plots")
    told.add_argument("file", type=Path)
    return root


def calibrate(arguments: argparse.Namespace, console: Console) -> None:
    blank = Calibration(dict.fromkeys(Features._fields, UNKNOWN), {}, {}, 0.0, 0)
    tasks = worlds.honest(Split.CALIBRATION, range(arguments.seeds), arguments.tenants, arguments.days, snapshots=True)
    outcomes = worlds.play_all(tasks, arguments.workers, console.print, blank)
    # A key of one world is not the key of that name in another.
    snapshots = [
        snapshot._replace(key=f"{outcome.task.seed} {snapshot.key}")
        for outcome in outcomes
        for snapshot in outcome.snapshots
    ]
    made = fitting.fit(snapshots, Calibration.load().weights)
    made.save(arguments.out or PACKAGED)
    console.print(f"{made.key_days} honest key-days; thresholds {made.thresholds}, drift {made.drift:.2f}")


def judge(arguments: argparse.Namespace, console: Console) -> None:
    begun, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    split, table = Split[arguments.split], Calibration.load(arguments.calibration)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    tasks = worlds.honest(split, seeds, arguments.tenants, arguments.days)
    least, keys = arguments.attack_seeds, arguments.attack_keys
    tasks += worlds.attacked(split, arguments.first_seed, least, keys, 1, full=arguments.full)
    outcomes = worlds.play_all(tasks, arguments.workers, console.print, table)
    alone = [day for outcome in outcomes if not outcome.task.plans for day in outcome.days]
    scores = [day.score for day in alone]
    attacks = attacks_of([outcome for outcome in outcomes if outcome.task.plans], scores)
    by_attack = statistics.by_family(day for outcome in outcomes for day in outcome.days if day.attack)
    of_attacks = {name: [round(day.score, 3) for day in days] for name, days in by_attack.items()}
    results = Results(
        schema=SCHEMA,
        started=started,
        seconds=round(time.monotonic() - begun, 1),
        command=["python", "-m", "loadtests.evaluation", *sys.argv[1:]],
        commit=commit(),
        split=split.name.lower(),
        seeds=list(seeds),
        machine=machine(),
        calibration_key_days=table.key_days,
        thresholds={level.label: value for level, value in table.thresholds.items()},
        honest=honest_of(alone),
        attacks=attacks,
        honest_scores=[round(score, 3) for score in scores],
        attack_scores=of_attacks,
    )
    out = arguments.out or ROOT / "loadtests" / "results" / f"guard-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    write(results, out)
    report.show(results, console)
    console.print(f"written to {out}")


def main() -> None:
    arguments = parser().parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    match arguments.command:
        case "calibrate":
            calibrate(arguments, console)
        case "judge":
            judge(arguments, console)
        case _:
            results = read(arguments.file)
            plots.draw(results, ROOT / "docs" / "images")
            report.write(results, ROOT / "docs" / "guard-evaluation.md", arguments.file.name)
            report.show(results, console)


if __name__ == "__main__":
    main()

"""`python -m loadtests.simulation.scaling [TRACE.csv ...]`: autoscaling policies on traces, in a table and as pictures.

--speeds splitwise_perf_model.csv   measured speeds of an engine; without it, round numbers of the same order
TRACE.csv                           arrival_s, input_tokens, output_tokens; or t_s, total_rps; without one, a made trace
"""

import argparse
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from loadtests.bench.probe import machine
from loadtests.simulation.provenance import ROOT, commit
from loadtests.simulation.scaling import arrivals, plot, speeds, study, table
from loadtests.simulation.scaling.arrivals import Arrival, Trace
from loadtests.simulation.scaling.search import Setting
from loadtests.simulation.scaling.speeds import Speeds

SCHEMA = 2
PIPED_WIDTH = 190


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: int
    started: str
    command: list[str]
    commit: str
    machine: dict[str, str]
    seed: int
    speeds: str
    asked: float
    cases: list[study.Case]


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.simulation.scaling")
    root.add_argument("traces", nargs="*", type=Path, help="CSV files; none: a trace made from the seed")
    root.add_argument("--speeds", type=Path, help="CSV of Splitwise's performance model")
    root.add_argument(
        "--engine", default="llama2-70b,a100-80gb,4", help="model, hardware, tensor parallel size of --speeds"
    )
    root.add_argument("--startup", default="5,30,60,180", help="start-up times, s (default: 5,30,60,180)")
    root.add_argument("--goal", type=float, default=3.0, help="TTFT within which a request is in time, s (default: 3)")
    root.add_argument("--asked", type=float, default=0.99, help="share of requests in time that tuning aims at")
    root.add_argument(
        "--copies", default="1", help="of traces of requests: 1,4 replays each once, and laid over itself 4 times"
    )
    root.add_argument("--lengths", type=Path, help="trace of requests whose lengths those of traces of rates have")
    root.add_argument("--scale", type=float, default=0.25, help="factor of traces of rates (default: 0.25)")
    root.add_argument("--faster", type=float, default=6.0, help="times as fast that rates pass (default: 6)")
    root.add_argument("--most", type=int, default=64, help="replicas at most")
    root.add_argument("--seed", type=int, default=1)
    root.add_argument("--quick", action="store_true", help="only a coarse grid of settings for the others")
    root.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/scaling-<date>.json)")
    root.add_argument("--images", type=Path, help="folder of the pictures (default: beside the JSON file)")
    root.add_argument("--strict", action="store_true", help="exit status 1 if a bar is missed")
    return root


def traces(given: argparse.Namespace) -> list[Trace]:
    if not given.traces:
        return [arrivals.synthetic(given.seed)]
    read: list[Trace] = []
    lengths: tuple[Arrival, ...] = ()
    if given.lengths is not None:
        lengths = arrivals.read(given.lengths, given.scale, given.faster, given.seed).arrivals
    for file in given.traces:
        trace = arrivals.read(file, given.scale, given.faster, given.seed, lengths)
        requests = trace.name == file.stem
        lengths = lengths or (trace.arrivals if requests else ())
        numbers = [int(number) for number in given.copies.split(",")] if requests else [1]
        read += [trace if number == 1 else arrivals.copies(trace, number, given.seed) for number in numbers]
    return read


def main() -> None:
    given = parser().parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    out = given.out or ROOT / "loadtests" / "results" / f"scaling-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    images = given.images or out.parent
    if not given.traces:
        console.print("no trace given: a made one (recorded ones as arguments, speeds with --speeds; see --help)")
    engine = speeds.synthetic()
    if given.speeds is not None:
        model, hardware, size = given.engine.split(",")
        engine = speeds.read(given.speeds, model, hardware, int(size))
    cases: list[study.Case] = []
    rounds = study.QUICK_ROUNDS if given.quick else study.ROUNDS
    with ProcessPoolExecutor(given.processes) as pool:
        for trace in traces(given):
            for startup_s in map(float, given.startup.split(",")):
                one = study.Given(trace, engine, startup_s, given.most, given.goal, given.asked)
                made, runs = study.case(one, rounds, partial(_all, pool, one))
                cases.append(made)
                name = re.sub(r"[^a-z0-9]+", "-", trace.name.lower()).strip("-")
                plot.draw(trace, startup_s, given.goal, runs, images / f"scaling-{name}-{startup_s:g}s.png")
                console.print(table.verdict(made))
                _write(given, engine, started, cases, out)
    table.show(cases, console)
    console.print(f"written to {out}")
    sys.exit(int(given.strict and not all(each.verdict.held for each in cases)))


def _all(pool: ProcessPoolExecutor, one: study.Given, settings: list[Setting]) -> list[study.Row]:
    return list(pool.map(partial(study.tried, one), settings))


def _write(given: argparse.Namespace, engine: Speeds, started: str, cases: list[study.Case], out: Path) -> None:
    results = Results(
        schema=SCHEMA,
        started=started,
        command=["python", "-m", "loadtests.simulation.scaling", *(Path(each).name for each in sys.argv[1:])],
        commit=commit(),
        machine=machine(),
        seed=given.seed,
        speeds=engine.name,
        asked=given.asked,
        cases=cases,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


if __name__ == "__main__":
    main()

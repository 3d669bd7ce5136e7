"""`python -m loadtests.scaling.startup`: where the time goes until an engine serves, stage by stage, without Ray around it.

Each round starts a replica's Python anew, with the environment that its Serve deployment gives it. CPU time tells what a stage
costs on a busy machine too; the core's own CPU time counts from its process' start. With --compile the model is compiled: first
with an empty cache, then with what that round left in it. With --compare each round is also run with a core that begins to load
its libraries only when the replica has loaded its own; which of the two goes first takes turns.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
import psutil
from rich.console import Console

from deployments import environment
from gateway.config import Config
from gateway.pool import leash
from gateway.pool.early_core import EarlyCore
from loadtests.bench.probe import machine
from loadtests.simulation.provenance import ROOT, commit

ROUND, COMPILE, LATE = "--round", "SLUICE_STARTUP_COMPILE", "SLUICE_STARTUP_LATE"
IMPORTS, SETTINGS, CORE, FIRST = "imports", "configuration", "core process", "first request"


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds; `core_cpu_s` of the core's process, where it takes part."""

    name: str
    wall_s: float
    cpu_s: float
    core_cpu_s: float = 0.0


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    started: str
    commit: str
    machine: dict[str, str]
    rounds: int
    stages: list[Stage]
    total_s: float
    rounds_s: list[float]
    one_by_one: list[Stage]
    one_by_one_total_s: float | None
    one_by_one_rounds_s: list[float]
    uncached: list[Stage]
    uncached_total_s: float | None


def config(folder: str) -> Config:
    engine = {
        "dtype": "bfloat16",
        "enforce_eager": COMPILE not in os.environ,
        "max_num_batched_tokens": 2048,
        "block_size": 32,
    }
    model = {
        "name": "sluice-demo",
        "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}},
        "engine": engine | {"max_num_seqs": 4, "kv_cache_memory": "64MiB"},
    }
    return Config.model_validate({"state_dir": folder, "models": [model]})


class Watch:
    """Marks stages as they end."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._at, self._cpu = time.monotonic(), time.process_time()

    def mark(self, name: str, core_cpu_s: float = 0.0) -> None:
        at, cpu = time.monotonic(), time.process_time()
        self.stages.append(Stage(name, at - self._at, cpu - self._cpu, core_cpu_s))
        self._at, self._cpu = at, cpu


async def one_round() -> list[Stage]:
    watch = Watch()
    leash.hold_children()
    early = None if LATE in os.environ else EarlyCore.begin()
    from gateway.pool import vllm_seam

    watch.mark(IMPORTS)
    from deployments.engine import engine_args
    from deployments.preflight import resolve

    with tempfile.TemporaryDirectory() as folder:
        [served] = resolve(config(folder), "")
        args = engine_args(served)
        watch.mark(SETTINGS)
        core = vllm_seam.EngineCore(args, log_stats=False, early=early)
        below = psutil.Process().children(recursive=True)
        watch.mark(CORE, sum(sum(process.cpu_times()[:2]) for process in below))
        await core.warm_up(1, logprobs=True)
        watch.mark(FIRST)
        core.close()
    return watch.stages


def measure(rounds: int, ways: Sequence[dict[str, str]], cache: str | None = None) -> list[list[list[Stage]]]:
    """Each round of each way, which is what its environment has besides; `cache`: compiled, into that folder."""
    if cache is not None:
        os.environ |= {COMPILE: "1", "VLLM_CACHE_ROOT": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
    settings = config(tempfile.gettempdir()).models[0].engine
    env = os.environ | environment.engine("cpu", settings)
    runs: list[list[list[Stage]]] = [[] for _ in ways]
    for number in range(rounds):
        for way, made in list(zip(ways, runs, strict=True))[:: -1 if number % 2 else 1]:
            done = subprocess.run(
                [sys.executable, "-m", "loadtests.scaling.startup", ROUND],
                env=env | way,
                stdout=subprocess.PIPE,
                check=True,
            )
            made.append(msgspec.json.decode(done.stdout.splitlines()[-1], type=list[Stage]))
    return runs


def medians(runs: list[list[Stage]]) -> list[Stage]:
    return [
        Stage(
            same[0].name,
            round(median(each.wall_s for each in same), 3),
            round(median(each.cpu_s for each in same), 3),
            round(median(each.core_cpu_s for each in same), 3),
        )
        for same in zip(*runs, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.scaling.startup")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--compile", action="store_true", help="an engine that compiles its model, without and with a cache"
    )
    parser.add_argument(
        "--compare", action="store_true", help="also with the core's imports after the replica's, taking turns"
    )
    parser.add_argument(ROUND, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/startup-<date>.json)")
    given = parser.parse_args()
    if given.round:
        sys.stdout.write(msgspec.json.encode(asyncio.run(one_round())).decode() + "\n")
        return
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with tempfile.TemporaryDirectory() as folder:
        cache = folder if given.compile else None
        uncached = medians(measure(1, [{}], cache)[0]) if given.compile else []
        runs, *late = measure(given.rounds, [{}, {LATE: "1"}] if given.compare else [{}], cache)
    stages, one_by_one = medians(runs), medians(late[0]) if late else []
    results = Results(
        started,
        commit(),
        machine(),
        given.rounds,
        stages,
        total(stages),
        [total(each) for each in runs],
        one_by_one,
        total(one_by_one) if one_by_one else None,
        [total(each) for each in late[0]] if late else [],
        uncached,
        total(uncached) if uncached else None,
    )
    out = given.out or ROOT / "loadtests" / "results" / f"startup-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    console = Console(highlight=False)
    for title, kind in (("with an empty cache", uncached), ("one by one", one_by_one), ("", stages)):
        for stage in kind:
            console.print(
                f"{stage.name}: {stage.wall_s:.2f} s ({stage.cpu_s:.2f} s CPU, core {stage.core_cpu_s:.2f} s)"
            )
        if kind:
            console.print(f"in all {total(kind):.2f} s {title}")
    console.print(f"written to {out}")


def total(stages: list[Stage]) -> float:
    return round(sum(stage.wall_s for stage in stages), 3)


if __name__ == "__main__":
    main()

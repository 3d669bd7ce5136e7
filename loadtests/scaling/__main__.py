"""`python -m loadtests.scaling`: a Sluice of its own goes 0 → 1 → 3 → 1 → 0 → 1 under load, and no request fails.

Exit status 1 if one failed or a step did not come in time. The result tells every decision with its reasons, and the same arrivals
simulated; `--screenshot` is Ray's dashboard as a headless Chromium shows it meanwhile.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console

from gateway.config.autoscaling import Autoscaling
from loadtests.bench.probe import machine
from loadtests.launch import Launched, free_port
from loadtests.scaling.compare import Beside, simulate, speeds
from loadtests.scaling.screenshot import dashboard
from loadtests.scaling.watch import Look, Watch, send
from loadtests.simulation.routing import ROOT, commit
from loadtests.simulation.scaling.arrivals import Arrival, poisson

MODEL = "sluice-demo"
SLOTS, TOKENS = 4, 200
SCALING = {
    "min_replicas": 0,
    "max_replicas": 3,
    "startup_s": 20.0,
    "stabilization_s": 15.0,
    "down_cooldown_s": 4.0,
    "idle_s": 20.0,
}
START_S, STEP_S = 240.0, 120.0


class Results(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`steps` are seconds that each change of the number of engines took; `cold_s` a request's first token from zero engines."""

    started: str
    commit: str
    machine: dict[str, str]
    seed: int
    settings: dict[str, Any]
    steps: dict[str, float]
    cold_s: float
    requests: int
    failed: list[str]
    changes: list[dict[str, Any]]
    beside: Beside
    looks: list[Look]


def config(folder: Path, listen: int, management: int, board: int) -> dict[str, Any]:
    engine = {"dtype": "bfloat16", "enforce_eager": True, "max_num_batched_tokens": 2048, "block_size": 32}
    return {
        "state_dir": str(folder / "state"),
        "gateway": {
            "listen": {"port": listen},
            "management": {"port": management},
            "drain_s": 10,
            "admission": {"deadline_s": 240, "reserve": 0.0},
        },
        "ray": {"dashboard": True, "dashboard_port": board, "logical_cpus": 12},
        "models": [
            {
                "name": MODEL,
                "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}},
                "autoscaling": SCALING,
                "engine": engine | {"max_num_seqs": SLOTS, "kv_cache_memory": "64MiB"},
            }
        ],
    }


def arrivals(rate: float, seed: int) -> tuple[Arrival, ...]:
    """Little, then more than one engine can serve, then little: requests per second in steps of ten seconds."""
    shape = [0.3, 0.3, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 0.2, 0.2, 0.2]
    points = [(10.0 * place, rate * each) for place, each in enumerate(shape)]
    return tuple(each._replace(output=TOKENS) for each in poisson(points, seed))


async def demonstrate(files: dict[str, Any], key: str, seed: int, picture: Path | None, say: Any) -> Results:
    url, management = files["url"], files["management"]
    watch = Watch(management, MODEL, time.monotonic())
    watching = asyncio.create_task(watch.run())
    steps: dict[str, float] = {}
    started = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    try:
        say("no engine; one request")
        [first] = await send(url, key, MODEL, [Arrival(0.0, 1, TOKENS)])
        steps["0 to 1, with the first request's answer"] = first.seconds
        [alone] = await send(url, key, MODEL, [Arrival(0.0, 1, TOKENS)])
        full = await send(url, key, MODEL, [Arrival(0.0, 1, TOKENS)] * SLOTS)
        engine = speeds(alone, full, TOKENS)
        rate = SLOTS / (TOKENS * engine.step_s[-1])
        given = arrivals(rate, seed)
        say(
            f"one engine serves {rate:.2f} requests/s; {len(given)} requests in {given[-1].at:.0f} s, {1.5 * rate:.2f}/s at most"
        )
        watch.looks.clear()
        begun = time.monotonic()
        offset = begun - watch._begun  # noqa: SLF001  one clock for both
        sending = asyncio.create_task(send(url, key, MODEL, given))
        steps["1 to 3, from the first arrival"] = await watch.until("three engines", 3, STEP_S)
        if picture is not None:
            await dashboard(files["dashboard"], files["token"], picture)
        answers = await sending
        looks = [msgspec.structs.replace(look, at=round(look.at - offset, 2)) for look in watch.looks]
        ended = time.monotonic()
        await watch.until("one engine", 1, STEP_S)
        steps["3 to 1, from the last answer"] = time.monotonic() - ended
        await watch.until("no engine", 0, STEP_S)
        steps["1 to 0, from the last answer"] = time.monotonic() - ended
        say("asleep; two requests at once")
        last = await send(url, key, MODEL, [Arrival(0.0, 1, TOKENS)] * 2)
        every = [first, alone, *full, *answers, *last]
        startup_s = float(watch.record.get("startup_s") or SCALING["startup_s"])
        beside = simulate(given, engine, Autoscaling.model_validate(SCALING), startup_s, answers, looks)
        return Results(
            started=started,
            commit=commit(),
            machine=machine(),
            seed=seed,
            settings=SCALING,
            steps={name: round(seconds, 1) for name, seconds in steps.items()},
            cold_s=max(answer.ttft_s for answer in last),
            requests=len(every),
            failed=[answer.problem for answer in every if answer.problem],
            changes=watch.record.get("changes", []),
            beside=beside,
            looks=looks,
        )
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def show(results: Results, console: Console) -> None:
    for change in results.changes:
        when = time.strftime("%H:%M:%S", time.localtime(change["at"]))
        console.print(f"{when}  {change['from']} -> {change['to']}  {'; '.join(change['reasons'])}")
    for name, seconds in results.steps.items():
        console.print(f"{name}: {seconds:.1f} s")
    console.print(f"first token from zero engines: {results.cold_s:.1f} s")
    beside = results.beside
    console.print(
        f"measured and simulated: TTFT mean {beside.ttft_mean_s}, p90 {beside.ttft_p90_s}; queue {beside.queue_mean}"
    )
    console.print(f"replicas mean {beside.replicas_mean}, most {beside.replicas_most}")
    console.print(
        "simulated over measured: " + ", ".join(f"{name} {each:+.0%}" for name, each in beside.errors.items())
    )
    console.print(f"{results.requests} requests, {len(results.failed)} failed {results.failed[:3]}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadtests.scaling")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--screenshot", type=Path, help="PNG of Ray's dashboard")
    parser.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/autoscaling-<date>.json)")
    given = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    out = given.out or ROOT / "loadtests" / "results" / f"autoscaling-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        listen, management, board = free_port(), free_port(), free_port()
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(config(folder, listen, management, board)))
        cli = [sys.executable, "-m", "gateway.cli"]
        launched = Launched([*cli, "up", str(file)], {}, folder / "up.log")
        try:
            launched.wait_ready([f"http://127.0.0.1:{management}/readyz"], START_S)
            create = [*cli, "keys", "-c", str(file), "create", "--name", "scaling", "--tenant", "scaling"]
            key = subprocess.run(create, capture_output=True, text=True, check=True).stdout.split()[0]
            files = {
                "url": f"http://127.0.0.1:{listen}",
                "management": f"http://127.0.0.1:{management}",
                "dashboard": f"http://127.0.0.1:{board}",
                "token": (folder / "state" / "ray-token").read_text(),
            }
            results = asyncio.run(demonstrate(files, key, given.seed, given.screenshot, console.print))
        finally:
            launched.stop()
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    show(results, console)
    console.print(f"written to {out}")
    sys.exit(int(bool(results.failed)))


if __name__ == "__main__":
    main()

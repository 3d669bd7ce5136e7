"""One run of a suite against a running Sluice: what it does unloaded, then Locust and a sampler, then what is left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from loadtests.arithmetic import percentile
from loadtests.drive import ROOT, drive
from loadtests.load import Job
from loadtests.prompts import prompts
from loadtests.suite.arrivals import read_trace
from loadtests.suite.calibration import calibration_ms
from loadtests.suite.client import KEEP_ALIVE_S, address
from loadtests.suite.faults import faults, inside
from loadtests.suite.gate import Figures
from loadtests.suite.left_behind import abandoned, settled
from loadtests.suite.presets import Preset
from loadtests.suite.record import Run
from loadtests.suite.sampler import Sample, Sampler, ended, leaked_descriptors, read_status, sample

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
ALONE, TOKENS = 24, 32
SEVERAL, STREAMS, ROUNDS = 96, 16, 2
STOP_S = "80"
"""Longer than users wait for what is in flight (`--stall`): they themselves tell what has not ended."""
SPARE_DESCRIPTORS = 16


class LocustFailedError(RuntimeError):
    """Locust ended without records."""


@dataclass(frozen=True)
class Target:
    """A running Sluice. `config` is what goes into the report, `given` what its file said of it; `pids` lists its processes.
    `budgeted`: its keys have budgets of tokens, so that requests reserve some. `lasting`: no gateway and no engine is to go.
    `keep_alive_s`: of the gateways.
    """

    url: str
    management: str
    model: str
    key: str
    metered_key: str
    extractor_key: str
    pids: Callable[[], Sequence[int]]
    config: dict[str, Any]
    given: dict[str, Any]
    budgeted: bool = False
    lasting: bool = True
    keep_alive_s: float = KEEP_ALIVE_S

    def job(self, count: int, seed: int, streams: int) -> Job:
        door = address(self.url)
        return Job(door.host, door.port, self.model, prompts(count, seed), streams, TOKENS, self.key)


@dataclass(frozen=True)
class Finding:
    """`unloaded`: what was measured before the load; `faults`: what no objective names, such as what an idle Sluice still holds."""

    run: Run
    samples: list[Sample]
    unloaded: Figures
    faults: list[str]
    notes: list[str] = field(default_factory=list)


def perform(
    target: Target,
    preset: Preset,
    seed: int,
    folder: Path,
    *,
    processes: int = 0,
    more: Sequence[str] = (),
    say: Callable[[str], None],
) -> Finding:
    """Raises LocustFailedError. `processes`: Locust workers beside a master; 0 is one process for everything. `more`: of the
    locust command.
    """
    figures = unloaded(target, seed, say)
    trace = read_trace(Path(preset.trace)) if preset.trace else []
    context = _context(target)
    before = sample(target.management, target.pids(), time.time())
    say(f"{preset.shape}, {preset.minutes:g} minutes, {preset.users} users, {preset.arrivals} arrivals")
    with Sampler(target.management, target.pids) as sampler:
        run, found = _locust(
            target, preset, seed, folder / "records.msgpack", processes, ["--context", str(context), *more]
        )
    found += faults(run, preset, trace)
    found += [f"left behind: {held}" for held in settled(target.management)]
    say("clients that leave")
    found += abandoned(address(target.url), target.management, target.model, target.key, context, target.pids)
    after = sample(target.management, target.pids(), time.time())
    found += leaked_descriptors(before, after, SPARE_DESCRIPTORS)
    found += ended(before, after) if target.lasting else []
    if target.budgeted and not any(seen.reservations for seen in sampler.samples):
        found.append("no reservation of tokens was seen under load, so that none left behind says nothing")
    replayed = trace if preset.arrivals == "trace" else []
    cut = len(replayed) - inside(replayed, preset.minutes * 60, preset.trace_speed)
    notes = [f"trace: {cut} of {len(trace)} arrivals come after the {preset.minutes:g} minutes"] if cut else []
    return Finding(run, sampler.samples, figures, found, notes)


def unloaded(target: Target, seed: int, say: Callable[[str], None]) -> Figures:
    """Medians of one stream alone (ms), tokens/s of a few streams in a closed loop, and how fast the machine itself is."""
    say("warming up")
    drive(target.job(SEVERAL, seed + 1, STREAMS), lambda: None)
    say("one stream alone")
    alone, _, _ = drive(target.job(ALONE, seed + 2, 1), lambda: None)
    say(f"{STREAMS} streams")
    rounds = [drive(target.job(SEVERAL, seed + 3 + number, STREAMS), lambda: None)[0] for number in range(ROUNDS)]
    return Figures(
        {
            "unloaded_ttft_ms": 1e3 * percentile(alone.ttft_s, 0.5),
            "unloaded_inter_token_ms": 1e3 * percentile(alone.gaps_s, 0.5),
            "throughput": max(load.tokens_per_s for load in rounds),
        },
        calibration_ms(),
    )


def _context(target: Target) -> int:
    """Of the engines, in tokens."""
    (context,) = (
        model["max_model_len"] for model in read_status(target.management)["models"] if model["name"] == target.model
    )
    return int(context)


def _locust(
    target: Target, preset: Preset, seed: int, records: Path, processes: int, more: Sequence[str]
) -> tuple[Run, list[str]]:
    """What it left behind, and what is wrong with how it ended."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", target.url]
    command += [
        "--only-summary",
        "--exit-code-on-error",
        "0",
        "--stop-timeout",
        STOP_S,
        "--slo",
        "",
        "--records",
        str(records),
    ]
    if preset.arrivals == "trace":
        # One user in each process does all of its part.
        preset = msgspec.structs.replace(preset, users=max(1, processes))
    command += [
        "--served-model",
        target.model,
        "--seed",
        str(seed),
        "--keep-alive",
        str(target.keep_alive_s),
        *preset.arguments(),
        *more,
    ]
    command += ["--processes", str(processes)] if processes else []
    command += ["--run-time", f"{preset.minutes}m"] if preset.shape == "none" else []
    keys = {
        "SLUICE_KEY": target.key,
        "SLUICE_METERED_KEY": target.metered_key,
        "SLUICE_EXTRACTOR_KEY": target.extractor_key,
    }
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    ended = subprocess.run(command, env=os.environ | keys | path, capture_output=True, text=True, check=False, cwd=ROOT)
    if not records.exists():
        raise LocustFailedError(f"status {ended.returncode}: {(ended.stdout + ended.stderr)[-3000:]}")
    said = [f"Locust ended with status {ended.returncode}: {ended.stderr[-300:]}"] if ended.returncode else []
    return msgspec.msgpack.decode(records.read_bytes(), type=Run), said

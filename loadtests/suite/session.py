"""One run of a suite against a running Sluice: one stream alone, then Locust with a sampler beside it, then what is left behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loadtests.arithmetic import percentile
from loadtests.drive import ROOT, drive
from loadtests.load import Job
from loadtests.prompts import prompts
from loadtests.suite.presets import Preset
from loadtests.suite.record import Run
from loadtests.suite.sampler import Sample, Sampler, ended, leaked_descriptors, read_status, sample, unsettled

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"
ALONE, ALONE_TOKENS = 24, 32
WARM_UP, WARM_UP_STREAMS = 96, 16
SETTLE_S = 20.0
STOP_S = "80"
"""Longer than users wait for what is in flight (`--stall`): they themselves tell what has not ended."""
SPARE_DESCRIPTORS = 16


class LocustFailedError(RuntimeError):
    """Locust ended without records."""


@dataclass(frozen=True)
class Target:
    """A running Sluice. `config` is what goes into the report; `pids` lists its processes. `budgeted`: its keys have budgets of
    tokens, so that requests reserve some. `lasting`: no gateway and no engine is to go.
    """

    url: str
    management: str
    model: str
    key: str
    metered_key: str
    extractor_key: str
    pids: Callable[[], Sequence[int]]
    config: dict[str, Any]
    budgeted: bool = False
    lasting: bool = True

    def job(self, count: int, seed: int, streams: int) -> Job:
        address = urlsplit(self.url)
        assert address.hostname is not None
        assert address.port is not None
        return Job(address.hostname, address.port, self.model, prompts(count, seed), streams, ALONE_TOKENS, self.key)


@dataclass(frozen=True)
class Finding:
    """`unloaded`: latencies in ms by the names of objectives; `faults`: what no objective names, such as what an idle Sluice still
    holds.
    """

    run: Run
    samples: list[Sample]
    unloaded: dict[str, float]
    faults: list[str]


def perform(
    target: Target, preset: Preset, seed: int, folder: Path, *, processes: int = 0, say: Callable[[str], None]
) -> Finding:
    """Raises LocustFailedError. `processes`: Locust workers beside a master; 0 is one process for everything."""
    say("warming up")
    drive(target.job(WARM_UP, seed + 1, WARM_UP_STREAMS), lambda: None)
    say("one stream alone")
    alone, _, _ = drive(target.job(ALONE, seed + 2, 1), lambda: None)
    unloaded = {
        "ttft_p99_ms": 1e3 * percentile(alone.ttft_s, 0.5),
        "inter_token_p99_ms": 1e3 * percentile(alone.gaps_s, 0.5),
    }
    before = sample(target.management, target.pids(), time.time())
    say(f"{preset.shape}, {preset.minutes:g} minutes, {preset.users} users, {preset.arrivals} arrivals")
    with Sampler(target.management, target.pids) as sampler:
        run = _locust(target, preset, seed, folder / "records.msgpack", processes)
    faults = [f"left behind: {held}" for held in _settled(target.management)]
    after = sample(target.management, target.pids(), time.time())
    faults += leaked_descriptors(before, after, SPARE_DESCRIPTORS)
    faults += ended(before, after) if target.lasting else []
    if target.budgeted and not any(seen.reservations for seen in sampler.samples):
        faults.append("no reservation of tokens was seen under load, so that none left behind says nothing")
    return Finding(run, sampler.samples, unloaded, faults)


def _locust(target: Target, preset: Preset, seed: int, records: Path, processes: int) -> Run:
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
    (context,) = (
        model["max_model_len"] for model in read_status(target.management)["models"] if model["name"] == target.model
    )
    command += ["--served-model", target.model, "--context", str(context), "--seed", str(seed), *preset.arguments()]
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
    return msgspec.msgpack.decode(records.read_bytes(), type=Run)


def _settled(management: str) -> list[str]:
    """Once the last stream has ended, nothing is held any more: at once, but for what is on its way."""
    deadline = time.monotonic() + SETTLE_S
    while (held := unsettled(read_status(management))) and time.monotonic() < deadline:
        time.sleep(0.5)
    return held

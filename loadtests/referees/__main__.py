"""`python -m loadtests.referees --guidellm ~/guidellm/bin/guidellm`: other clients' figures for bare vLLM and Sluice, beside ours.

While one system is measured every process of the other is stopped. GuideLLM needs an environment of its own: see
docs/load-testing.md.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deployments import quantization
from gateway.config import load
from loadtests.bench.__main__ import ROOT, commit, versions
from loadtests.bench.probe import machine
from loadtests.bench.results import without_paths
from loadtests.referees.clients import OUTPUT_TOKENS, PROMPT_TOKENS, Race, guidellm, ours, vllm_bench
from loadtests.referees.results import SCHEMA, Results, Row, write
from loadtests.servers import start_bare, start_sluice

BARE, SLUICE = "bare vLLM", "Sluice"


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.referees", description="Other clients, beside ours.")
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what both systems serve")
    root.add_argument("--guidellm", type=Path, help="the guidellm program (default: without it)")
    root.add_argument("--streams", type=int, default=16, help="(default: 16)")
    root.add_argument("--requests", type=int, default=320, help="of each client and side (default: 320)")
    root.add_argument("--rounds", type=int, default=2, help="(default: 2)")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/referees-<date>.json)")
    return root


def race_all(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    config = load(arguments.config)
    served = quantization.resolve(config.models[0], "cpu" if quantization.installed() == "cpu" else "cuda", "")
    rows: list[Row] = []
    bare = start_bare(config, str(arguments.config), folder)
    try:
        sluice = start_sluice(arguments.config, folder / "sluice", haproxy=False)
        try:
            sides = {BARE: bare, SLUICE: sluice}
            for number in range(arguments.rounds):
                for side in (BARE, SLUICE) if number % 2 == 0 else (SLUICE, BARE):
                    (other,) = [server for name, server in sides.items() if name != side]
                    other.freeze()
                    race = Race(
                        side, sides[side], served.path, arguments.requests, arguments.streams, number + 1, folder
                    )
                    rows += _three(race, arguments.guidellm)
                    other.thaw()
        finally:
            sluice.stop()
    finally:
        bare.stop()
    return rows


def _three(race: Race, program: Path | None) -> list[Row]:
    ours(race)  # wakes what has stood still
    rows = [ours(race), vllm_bench(race)] + ([guidellm(race, program)] if program else [])
    for row in rows:
        print(
            f"{row.client:<18} {row.side:<10} {row.requests_per_s:7.1f} requests/s {row.tokens_per_s:8.0f} tokens/s  "
            f"TTFT {row.ttft_p50_ms:6.1f} / {row.ttft_p99_ms:6.1f} ms  ITL {row.gap_p50_ms:5.2f} / {row.gap_p99_ms:6.2f} ms  "
            f"{row.failed} failed",
            flush=True,
        )
    return rows


def main() -> None:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, before = time.strftime("%Y-%m-%dT%H:%M:%S%z"), machine()
    known = versions()
    if arguments.guidellm:
        told = subprocess.run([arguments.guidellm, "--version"], capture_output=True, text=True, check=True)
        known["guidellm"] = told.stdout.split()[-1]
    with tempfile.TemporaryDirectory(prefix="sluice-referees-") as folder:
        rows = race_all(arguments, Path(folder))
    results = Results(
        schema=SCHEMA,
        started=started,
        command=without_paths(
            ["python", "-m", "loadtests.referees", *sys.argv[1:]],
            {str(ROOT): ".", str(arguments.guidellm): "guidellm"},
        ),
        commit=commit(),
        machine=before,
        versions=known,
        streams=arguments.streams,
        requests=arguments.requests,
        prompt_tokens=PROMPT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        rows=rows,
    )
    write(
        results, arguments.out or ROOT / "loadtests" / "results" / f"referees-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    )


if __name__ == "__main__":
    main()

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
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from deployments import quantization
from gateway.config import load
from loadtests.arithmetic import Spread, paired_ratios, spread
from loadtests.bench.__main__ import ROOT, commit, versions
from loadtests.bench.probe import machine
from loadtests.bench.results import without_paths
from loadtests.referees.clients import OUTPUT_TOKENS, PROMPT_TOKENS, Race, guidellm, ours, vllm_bench
from loadtests.referees.results import SCHEMA, Results, Row, write
from loadtests.servers import start_bare, start_sluice

BARE, SLUICE = "bare vLLM", "Sluice"
WAKING = 10_000
"""Added to a seed, gives one that no measurement has."""


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m loadtests.referees", description="Other clients, beside ours.")
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what both systems serve")
    root.add_argument("--guidellm", type=Path, help="the guidellm program (default: without it)")
    root.add_argument("--streams", type=int, default=16, help="(default: 16)")
    root.add_argument("--requests", type=int, default=160, help="of each client, side and round (default: 160)")
    root.add_argument("--rounds", type=int, default=4, help="(default: 4)")
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
                for client in clients(arguments.guidellm):
                    # Pairs lie next to each other in time, and each side goes first as often as the other.
                    for side in (BARE, SLUICE) if number % 2 == 0 else (SLUICE, BARE):
                        (other,) = [server for name, server in sides.items() if name != side]
                        other.freeze()
                        race = Race(
                            side, sides[side], served.path, arguments.requests, arguments.streams, number + 1, folder
                        )
                        # Wakes what has stood still, with prompts that nobody asks again.
                        ours(replace(race, requests=arguments.streams, seed=WAKING + race.seed))
                        rows.append(told(client(race)))
                        other.thaw()
        finally:
            sluice.stop()
    finally:
        bare.stop()
    return rows


def clients(program: Path | None) -> list[Callable[[Race], Row]]:
    found: list[Callable[[Race], Row]] = [ours, vllm_bench]
    return [*found, partial(guidellm, program=program)] if program else found


def told(row: Row) -> Row:
    print(
        f"{row.client:<18} {row.side:<10} {row.requests_per_s:7.1f} requests/s {row.tokens_per_s:8.0f} tokens/s  "
        f"TTFT {row.ttft_p50_ms:6.1f} / {row.ttft_p99_ms:6.1f} ms  ITL {row.gap_p50_ms:5.2f} / {row.gap_p99_ms:6.2f} ms  "
        f"{row.failed} failed",
        flush=True,
    )
    return row


def ratios(rows: Sequence[Row]) -> dict[str, Spread]:
    """By client: Sluice's requests/s over bare vLLM's in the same round."""
    found = {}
    for client in dict.fromkeys(row.client for row in rows):
        by_side = {
            side: [
                row.requests_per_s
                for row in sorted(rows, key=lambda row: row.seed)
                if (row.client, row.side) == (client, side)
            ]
            for side in (BARE, SLUICE)
        }
        found[client] = spread(paired_ratios(by_side[SLUICE], by_side[BARE]))
    return found


def main() -> None:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started, before, version = time.strftime("%Y-%m-%dT%H:%M:%S%z"), machine(), commit()
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
        commit=version,
        machine=before,
        versions=known,
        streams=arguments.streams,
        requests=arguments.requests,
        prompt_tokens=PROMPT_TOKENS,
        output_tokens=OUTPUT_TOKENS,
        ratios=ratios(rows),
        rows=rows,
    )
    for client, ratio in results.ratios.items():
        print(f"{client:<18} Sluice / bare vLLM: {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})")
    write(
        results, arguments.out or ROOT / "loadtests" / "results" / f"referees-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    )
    if failed := sum(row.failed for row in rows):
        sys.exit(f"{failed} requests failed: these ratios say nothing")


if __name__ == "__main__":
    main()

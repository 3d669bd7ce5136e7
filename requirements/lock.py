"""Resolve the `.in` files into fully pinned closures, which setup installs without dependency resolution.

    python requirements/lock.py            rewrite cpu.txt, cuda.txt and dev.txt
    python requirements/lock.py --check    fail if a closure misses a direct requirement of its `.in` file

The closure is what is *reachable* from our requirements once LEFT_OUT is cut away, so the packages that only a
left-out one needs go too. Versions only: a lock file names no index and no URL.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent

# Hard requirements of the CPU wheel that no text model imports; torchvision's index build even breaks CPU torch.
LEFT_OUT = {
    "cpu": {"torchvision", "torchaudio", "torchcodec", "triton", "opencv-python-headless", "fastapi-cloud-cli"},
    "cuda": {"fastapi-cloud-cli"},
}
# Its metadata asks for `vllm`, which would bring the GPU wheel beside the CPU one.
WITHOUT_DEPENDENCIES = ["vllm-bnb-plugin==0.0.3"]
# A user's find-links folder may hold torch's CPU build, whose local version sorts above the CUDA one.
CONSTRAINTS = {"cpu": [], "cuda": ["torch!=2.13.0+cpu"]}


def direct(name: str) -> list[str]:
    lines = (HERE / f"{name}.in").read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def resolve(requirements: list[str], constraints: list[str]) -> dict[str, dict[str, Any]]:
    """Pip's own resolution, as {canonical name: package metadata}."""
    with tempfile.TemporaryDirectory() as folder:
        report, pins = Path(folder) / "report.json", Path(folder) / "constraints.txt"
        pins.write_text("\n".join(constraints))
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--quiet",
             "--report", report, "-c", pins, *requirements],
            check=True,
        )  # fmt: skip
        items = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in items}


def reachable(found: dict[str, dict[str, Any]], roots: list[str], left_out: set[str]) -> dict[str, str]:
    """{name: version} of all that the roots need, never walking through a left-out package."""
    kept: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        need = todo.pop()
        name, extras = canonicalize_name(need.name), frozenset(need.extras)
        if name in left_out or name not in found or (name, extras) in seen:
            continue
        seen.add((name, extras))
        kept[name] = found[name]["version"]
        for line in found[name].get("requires_dist", []):
            child = Requirement(line)
            environments = [_environment(extra) for extra in (extras or {""})]
            if child.marker is None or any(child.marker.evaluate(env) for env in environments):
                todo.append(child)
    return kept


def _environment(extra: str) -> dict[str, str]:
    return {name: str(value) for name, value in default_environment().items()} | {"extra": extra}


def write(name: str, pins: dict[str, str], extra: list[str]) -> None:
    lines = sorted([f"{package}=={version}" for package, version in pins.items()] + extra)
    head = "# Made by requirements/lock.py; do not edit. Installed with --no-deps."
    (HERE / f"{name}.txt").write_text("\n".join([head, *lines]) + "\n")
    print(f"{name}.txt: {len(lines)} packages")


def lock() -> None:
    runtime = direct("runtime")
    closures = {}
    for accelerator, left_out in LEFT_OUT.items():
        roots = runtime + direct(accelerator)
        closures[accelerator] = reachable(resolve(roots, CONSTRAINTS[accelerator]), roots, left_out)
        write(accelerator, closures[accelerator], WITHOUT_DEPENDENCIES)
    base, dev = closures["cpu"], direct("dev")
    pinned = [f"{package}=={version}" for package, version in base.items()]
    tools = reachable(resolve(dev, pinned), dev, LEFT_OUT["cpu"])
    write("dev", {package: version for package, version in tools.items() if package not in base}, [])


def check() -> int:
    wrong = 0
    for name, sources in {"cpu": ["runtime", "cpu"], "cuda": ["runtime", "cuda"], "dev": ["dev"]}.items():
        files = ["cpu.txt", "dev.txt"] if name == "dev" else [f"{name}.txt"]
        lines = [line for file in files for line in (HERE / file).read_text().splitlines() if "==" in line]
        pins = dict(line.split("==") for line in lines)
        for need in (Requirement(line) for source in sources for line in direct(source)):
            version = pins.get(canonicalize_name(need.name))
            if version is None or not need.specifier.contains(version, prereleases=True):
                print(f"{name}.txt: {need} is not met (pinned: {version}); run python requirements/lock.py")
                wrong = 1
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only compare the closures with the .in files")
    if parser.parse_args().check:
        sys.exit(check())
    lock()

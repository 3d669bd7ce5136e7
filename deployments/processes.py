"""The processes below the supervisor: none may outlive it, and those that only watch yield to those that serve."""

import contextlib
from pathlib import Path

import psutil

WATCHERS = (
    "/ray/dashboard/",
    "ray-dashboard-",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
    "/log_monitor.py",
    "/monitor.py",
)
PROGRAM = 3
"""Words of a command line that say what runs: further on, the raylet's tells how to start an agent, and all that a raylet starts is
as nice as itself.
"""
YIELDING = 10
"""Niceness: they still run whenever a core is free."""
STATE, START_TICKS = 0, 19
"""Fields of /proc/PID/stat, counted from the one after the name, which may hold anything."""


def let_watchers_yield() -> None:
    """On a machine whose cores are all busy, Ray's dashboard and agents would take turns with engines and gateways."""
    for process in descendants():
        with contextlib.suppress(psutil.Error):
            program = " ".join(process.cmdline()[:PROGRAM])
            if any(sign in program for sign in WATCHERS) and process.nice() < YIELDING:
                process.nice(YIELDING)


def descendants() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def birth(pid: int) -> str | None:
    """Tells a process from all others that had or will have its pid, whatever the clock is set to meanwhile: the boot, and the
    ticks since then. None if there is none, or one that has ended and waits for its parent.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None if fields[STATE] in "ZX" else f"{boot}:{fields[START_TICKS]}"


def end(processes: list[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Wait for processes that were told to stop, then terminate, then kill. Returns those that had to be killed."""
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=3)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=3)
    return alive

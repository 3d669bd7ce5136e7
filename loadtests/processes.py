"""The processes of one system under test, read from /proc: who they are, what CPU time and memory they use."""

import contextlib
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from loadtests.roles import Role, role_of

PROC = Path("/proc")
MARK = "SLUICE_LOADTEST_RUN"
"""Set in the environment of what we start: finds processes that left their parent's tree."""


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bytes. PSS shares pages that several processes map; RSS counts them in each."""

    rss: int
    pss: int


class Reading(msgspec.Struct, frozen=True):
    """CPU nanoseconds used so far by each process, and when (seconds) that was."""

    at: float
    cpu_ns: Mapping[int, int]
    roles: Mapping[int, Role]


def family(root: int, mark: str) -> list[int]:
    """The living processes that descend from `root`, or from one whose environment carries `mark`."""
    children: dict[int, list[int]] = defaultdict(list)
    found = {root}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            children[parent].append(int(entry.name))
            if f"{MARK}={mark}\0".encode() in (entry / "environ").read_bytes():
                found.add(int(entry.name))
    todo = list(found)
    while todo:
        new = [child for child in children[todo.pop()] if child not in found]
        found.update(new)
        todo += new
    return sorted(pid for pid in found if (PROC / str(pid)).exists())


def role(pid: int) -> Role:
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return Role.OTHER
    return role_of(command.replace(b"\0", b" ").decode(errors="replace").strip())


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, ended ones too, to the nanosecond: Linux's per-process clock. Raises OSError."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def read_cpu(pids: Iterable[int]) -> Reading:
    used: dict[int, int] = {}
    roles: dict[int, Role] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            used[pid] = cpu_ns(pid)
            roles[pid] = role(pid)
    return Reading(time.perf_counter(), used, roles)


def used_between(before: Reading, after: Reading) -> dict[Role, float]:
    """CPU seconds by role. A process that began in between counts from its start; one that ended is lost."""
    total: dict[Role, float] = defaultdict(float)
    for pid, cpu in after.cpu_ns.items():
        total[after.roles[pid]] += (cpu - before.cpu_ns.get(pid, 0)) / 1e9
    return dict(total)


def memory(pids: Iterable[int]) -> dict[Role, Memory]:
    totals: dict[Role, list[int]] = defaultdict(lambda: [0, 0])
    for pid in pids:
        with contextlib.suppress(OSError):
            lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
            values = {line.split()[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
            sums = totals[role(pid)]
            sums[0] += values["Rss:"]
            sums[1] += values["Pss:"]
    return {name: Memory(rss, pss) for name, (rss, pss) in totals.items()}


def pin(pid: int, cpus: Iterable[int]) -> None:
    """Every thread of the process; threads to come inherit it."""
    allowed = set(cpus)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        for task in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(task.name), allowed)

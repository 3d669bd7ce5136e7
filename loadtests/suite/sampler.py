"""What the gate sees of Sluice from outside while it is under load: its processes in /proc, and its management port's status."""

import contextlib
import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from http.client import HTTPException
from statistics import median
from typing import Any, Self

import msgspec

from loadtests.processes import PROC, role
from loadtests.roles import Role

EVERY_S = 2.0
WARM = (0.3, 0.5)
LATE = 0.8
"""Shares of a run: memory in its last fifth is held against what it was in the middle, when caches and pools have filled."""
LASTING = frozenset({Role.GATEWAY.value, Role.REPLICA.value, Role.CORE.value})


class Process(msgspec.Struct, frozen=True):
    """`anon`: bytes of anonymous memory, which page cache and shared files do not blur; `fds`: open file descriptors."""

    pid: int
    role: str
    anon: int
    fds: int


class Sample(msgspec.Struct, frozen=True):
    """At Unix time `at`. Of all models together: engines that are up, requests that wait and run, mean share of KV cache in use;
    `reservations` of token budgets. None where the management port gave no answer.
    """

    at: float
    engines: int | None
    waiting: int | None
    running: int | None
    kv_use: float | None
    processes: list[Process]
    reservations: int | None = 0


class Growth(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one process, in MiB between the middle and the end of a run."""

    role: str
    pid: int
    before_mib: float
    growth_mib: float


def read_process(pid: int) -> Process:
    """Raises OSError if it is gone."""
    fields = dict(line.split(":", 1) for line in (PROC / str(pid) / "status").read_text().splitlines() if ":" in line)
    anon = int(fields.get("RssAnon", "0 kB").split()[0]) * 1024
    return Process(pid, role(pid).value, anon, len(os.listdir(PROC / str(pid) / "fd")))  # noqa: PTH208  names are enough


def read_status(management: str) -> dict[str, Any]:
    """Raises OSError if nobody answers."""
    with urllib.request.urlopen(f"{management}/status", timeout=5) as reply:  # noqa: S310  our own http:// address
        found: dict[str, Any] = json.loads(reply.read())
        return found


def sample(management: str, pids: Iterable[int], at: float) -> Sample:
    processes = []
    for pid in pids:
        with contextlib.suppress(OSError):
            processes.append(read_process(pid))
    try:
        status = read_status(management)
    except (OSError, ValueError, HTTPException):
        return Sample(at, None, None, None, None, processes, None)
    models = status["models"]
    engines = [engine for model in models for engine in model["engines"] if engine["state"] == "up"]
    return Sample(
        at=at,
        engines=len(engines),
        waiting=sum(model["admission"]["waiting"] for model in models),
        running=sum(model["admission"]["running"] for model in models),
        kv_use=sum(engine["kv_use"] for engine in engines) / max(1, len(engines)),
        processes=processes,
        reservations=status.get("limits", {}).get("open_reservations", 0),
    )


class Sampler:
    """A thread that takes samples while its context lasts."""

    def __init__(self, management: str, pids: Callable[[], Sequence[int]], every_s: float = EVERY_S) -> None:
        self.samples: list[Sample] = []
        self._management, self._pids, self._every_s = management, pids, every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._every_s):
            self.samples.append(sample(self._management, self._pids(), time.time()))


def growth(samples: Sequence[Sample]) -> list[Growth]:
    """Of each process that lived through all of it, the greatest first."""
    count = len(samples)
    middle = samples[int(count * WARM[0]) : int(count * WARM[1])]
    late = samples[int(count * LATE) :]
    before, after = _anon(middle), _anon(late)
    found = [
        Growth(
            name, pid, median(before[pid, name]) / 2**20, (median(after[pid, name]) - median(before[pid, name])) / 2**20
        )
        for pid, name in before.keys() & after.keys()
    ]
    return sorted(found, key=lambda one: -one.growth_mib)


def _anon(samples: Iterable[Sample]) -> dict[tuple[int, str], list[int]]:
    found: dict[tuple[int, str], list[int]] = {}
    for one in samples:
        for process in one.processes:
            found.setdefault((process.pid, process.role), []).append(process.anon)
    return found


def unsettled(status: dict[str, Any]) -> list[str]:
    """What an idle Sluice should not hold any more: one line for each."""
    found = []
    for model in status["models"]:
        admission = model["admission"]
        held = {name: admission[name] for name in ("running", "running_sequences", "waiting", "prefill_tokens")}
        held["streams"] = model["streams"]
        held |= {f"requests at {engine['id']}": engine["requests"] for engine in model["engines"]}
        found += [f"{model['name']}: {count} {name}" for name, count in held.items() if count]
    if reserved := status.get("limits", {}).get("open_reservations", 0):
        found.append(f"{reserved} reservations not settled")
    return found


def ended(before: Sample, after: Sample) -> list[str]:
    """Gateways and engines that are not there any more, whether others took their place or not."""
    alive = {process.pid for process in after.processes}
    gone = [one for one in before.processes if one.role in LASTING and one.pid not in alive]
    return [f"{one.role} ({one.pid}) did not live through the run" for one in gone]


def leaked_descriptors(before: Sample, after: Sample, allowed: int) -> list[str]:
    """Processes that hold more open files than before, by more than `allowed`."""
    held = {process.pid: process.fds for process in before.processes}
    return [
        f"{process.role} ({process.pid}): {process.fds} file descriptors, {held[process.pid]} before"
        for process in after.processes
        if process.pid in held and process.fds > held[process.pid] + allowed
    ]

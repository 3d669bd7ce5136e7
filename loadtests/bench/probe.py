"""One load through one door, turned into a Sample."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from loadtests.arithmetic import percentile
from loadtests.bench.results import Sample
from loadtests.drive import drive
from loadtests.load import Job, Load
from loadtests.processes import Reading, pin, read_cpu, used_between
from loadtests.prompts import prompts
from loadtests.roles import Role
from loadtests.servers import HOST, Server

Idle = Mapping[Role, float]
"""Cores that each role uses while its system is up and idle."""


@dataclass(frozen=True)
class Door:
    """A way into a system."""

    name: str
    server: Server
    port: int
    idle: Idle


@dataclass(frozen=True)
class Shot:
    """A sample with the load it was made from."""

    sample: Sample
    load: Load


@dataclass(frozen=True)
class _Mark:
    cpu: Reading
    busy_s: float


def busy_s() -> float:
    """CPU seconds that this machine has spent since boot on anything."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def idle_of(servers: Mapping[str, Server], seconds: float) -> dict[str, dict[Role, float]]:
    """All of them in the same seconds."""
    before = {name: read_cpu(server.pids()) for name, server in servers.items()}
    time.sleep(seconds)
    idle: dict[str, dict[Role, float]] = {}
    for name, server in servers.items():
        after = read_cpu(server.pids())
        took = after.at - before[name].at
        idle[name] = {role: used / took for role, used in used_between(before[name], after).items()}
    return idle


def net_of_idle(used: Mapping[Role, float], idle: Idle, seconds: float) -> dict[Role, float]:
    """CPU seconds by role beyond what the role uses anyway.

    A role that used less than at idle counts as zero: a starved background process is no credit to the request path.
    """
    return {role: max(0.0, used.get(role, 0.0) - idle.get(role, 0.0) * seconds) for role in {*used, *idle}}


@dataclass(frozen=True)
class Point:
    """What one load is; `cpus` is where its generator runs, the caller having pinned the rest."""

    phase: str
    streams: int
    requests: int
    pair: int
    seed: int
    max_tokens: int
    cpus: tuple[int, ...] | None = None


def shoot(door: Door, point: Point) -> Shot:
    server = door.server
    job = Job(
        HOST, door.port, server.model, prompts(point.requests, point.seed), point.streams, point.max_tokens, server.key
    )
    load, before, after = drive(job, lambda: _Mark(read_cpu(server.pids()), busy_s()), point.cpus)
    seconds = after.cpu.at - before.cpu.at
    used = used_between(before.cpu, after.cpu)
    net = net_of_idle(used, door.idle, seconds)
    core = net.pop(Role.CORE, 0.0)
    tokens = max(1, load.tokens)
    foreign = (after.busy_s - before.busy_s - sum(used.values()) - load.cpu_s) / seconds
    sample = Sample(
        phase=point.phase,
        door=door.name,
        streams=point.streams,
        pair=point.pair,
        pinned=point.cpus is not None,
        seconds=load.seconds,
        completed=load.completed,
        tokens=load.tokens,
        token_events=load.token_events,
        requests_per_s=load.requests_per_s,
        tokens_per_s=load.tokens_per_s,
        ttft_p50_ms=percentile(load.ttft_s, 0.5) * 1e3,
        ttft_p99_ms=percentile(load.ttft_s, 0.99) * 1e3,
        gap_p50_ms=percentile(load.gaps_s, 0.5) * 1e3,
        gap_p99_ms=percentile(load.gaps_s, 0.99) * 1e3,
        front_us=sum(net.values()) / tokens * 1e6,
        front_us_by_role={role.value: cpu / tokens * 1e6 for role, cpu in sorted(net.items())},
        core_us=core / tokens * 1e6,
        client_us=load.cpu_s / tokens * 1e6,
        foreign_cores=foreign,
        problems=load.problems[:5],
    )
    return Shot(sample, load)


def pin_apart(servers: Iterable[Server], core_cpu: int, front_cpu: int) -> None:
    """Engine cores on one CPU, everything else of these systems on another."""
    for server in servers:
        reading = read_cpu(server.pids())
        for pid, role in reading.roles.items():
            pin(pid, {core_cpu if role is Role.CORE else front_cpu})


def unpin(servers: Iterable[Server]) -> None:
    everywhere = range(psutil.cpu_count() or 1)
    for server in servers:
        for pid in server.pids():
            pin(pid, everywhere)


def machine() -> dict[str, str]:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = {line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")}
    kernel = Path("/proc/sys/kernel/osrelease").read_text(encoding="utf-8").strip()
    return {
        "cpu": " / ".join(sorted(models)),
        "cores": str(psutil.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": kernel,
        "load_average_before": f"{psutil.getloadavg()[0]:.2f}",
    }

"""A CPU engine keeps to processor cores that no other engine of its node has.

An engine core computes without a pause. Where every core is busy, Linux lets it take turns with whoever wakes up beside it, and
moves it away from its cache. vLLM binds its threads to cores for that reason, but each engine by itself: two on one node would
take the same ones. Here an engine has a core while it holds an abstract socket of the core's name, which the kernel takes back
when the engine's process ends, however it ends. One core is left for all that is no engine; an engine that finds too few stays
unbound. Containers with cores of their own see only those; where a quota says how long they may use others', nobody binds.
"""

import contextlib
import os
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

NAME: Final = "sluice-core"
RETRY_S: Final = 5.0
"""Between two looks whether another engine has left its cores."""
QUOTAS: Final = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
UNLIMITED: Final = ("max", "-1")


class OwnCores:
    """`cores`: each the logical CPUs of one physical core. Once claimed, they are held while this object lives."""

    def __init__(self, count: int, cores: list[frozenset[int]], name: str = NAME) -> None:
        self._count, self._cores, self._name = count, cores, name
        self._held: list[socket.socket] = []

    @property
    def possible(self) -> bool:
        return self._count < len(self._cores)

    def claim(self) -> frozenset[int] | None:
        """The CPUs of `count` cores, or None if so many are not free; the first core is nobody's."""
        found: dict[frozenset[int], socket.socket] = {}
        for core in reversed(self._cores[1:]):
            if len(found) < self._count and (holding := self._take(min(core))) is not None:
                found[core] = holding
        if len(found) < self._count:
            for holding in found.values():
                holding.close()
            return None
        self._held = list(found.values())
        return frozenset().union(*found)

    def release(self) -> None:
        while self._held:
            self._held.pop().close()

    def _take(self, core: int) -> socket.socket | None:
        holding = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holding.bind(f"\0{self._name}-{core}")
        except OSError:
            holding.close()
            return None
        return holding


def physical_cores(cpus: Iterable[int], siblings_of: Callable[[int], str]) -> list[frozenset[int]]:
    """`siblings_of`: what Linux says of a CPU's hardware threads; CPUs of which it says the same are one core."""
    cores: defaultdict[str, set[int]] = defaultdict(set)
    for cpu in cpus:
        cores[siblings_of(cpu)].add(cpu)
    return sorted((frozenset(core) for core in cores.values()), key=min)


def here() -> list[frozenset[int]]:
    """The physical cores that this process may run on; none where a quota rations them."""
    for quota in map(Path, QUOTAS):
        if quota.exists() and quota.read_text().split()[0] not in UNLIMITED:
            return []
    return physical_cores(os.sched_getaffinity(0), _siblings)


def bind(pid: int, cpus: frozenset[int]) -> None:
    """All threads of a process, and those that they start later. One that has ended needs nothing."""
    with contextlib.suppress(FileNotFoundError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cpus)


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)

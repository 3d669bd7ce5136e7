import os
import subprocess
import sys
import time

import pytest

from loadtests.processes import MARK, Reading, cpu_ns, family, memory, pin, read_cpu, used_between
from loadtests.roles import Role

# A grandchild outlives its parent, as a daemon does; it prints its pid once it is there.
ORPHAN = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import sys; print("up", flush=True); sys.stdin.read()'], start_new_session=True)
print(child.pid, flush=True)
"""


def reading(at: float, used: dict[int, int], roles: dict[int, Role]) -> Reading:
    return Reading(at, used, roles)


def test_cpu_time_of_this_process_is_what_the_clock_says():
    before = time.process_time_ns()
    measured = cpu_ns(os.getpid())
    assert before <= measured <= time.process_time_ns()


def test_a_process_that_is_gone_uses_nothing():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert read_cpu([child.pid]).cpu_ns == {}


def test_use_is_summed_by_role_and_counts_newcomers_from_their_start():
    gateway, core = Role.GATEWAY, Role.CORE
    before = reading(0.0, {1: 1_000_000_000, 2: 5_000_000_000}, {1: gateway, 2: core})
    after = reading(1.0, {1: 1_500_000_000, 3: 250_000_000}, {1: gateway, 3: gateway})
    assert used_between(before, after) == {gateway: 0.75}


def test_a_process_that_left_its_parent_is_found_by_its_mark():
    environment = {**os.environ, MARK: "test-mark"}
    read, write = os.pipe()
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN], env=environment, stdin=read, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    orphan = int((lines - {"up"}).pop())
    parent.wait()
    os.close(read)
    try:
        assert family(parent.pid, "test-mark") == [orphan]
        assert orphan not in family(parent.pid, "another")
    finally:
        os.close(write)
        parent.stdout.close()


def test_memory_is_told_by_role():
    found = memory([os.getpid()])
    (used,) = found.values()
    assert 0 < used.pss <= used.rss


def test_pinning_moves_every_thread():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    cpu = min(os.sched_getaffinity(0))
    pin(child.pid, {cpu})
    assert os.sched_getaffinity(child.pid) == {cpu}
    child.communicate(b"\n")


def test_pinning_a_process_that_is_gone_does_nothing():
    with pytest.raises(ProcessLookupError):
        os.sched_getaffinity(2**22 - 1)
    pin(2**22 - 1, {0})

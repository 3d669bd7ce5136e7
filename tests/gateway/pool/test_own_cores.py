"""Processor cores that engines of one node share out among themselves."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from gateway.pool.own_cores import OwnCores, bind, here, physical_cores

FOUR = [frozenset({cpu}) for cpu in range(4)]


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex}"


def test_no_two_engines_have_the_same_core_and_one_is_left_for_the_rest(name: str) -> None:
    engines = [OwnCores(1, FOUR, name) for _ in range(4)]
    claimed = [engine.claim() for engine in engines]
    assert claimed == [{3}, {2}, {1}, None]
    engines[1].release()
    assert engines[3].claim() == {2}


def test_too_few_cores_are_none(name: str) -> None:
    one, two = OwnCores(2, FOUR, name), OwnCores(2, FOUR, name)
    assert one.claim() == {2, 3}
    assert two.claim() is None
    assert OwnCores(1, FOUR, name).claim() == {1}, "what two did not get is free"
    assert one.possible
    assert not OwnCores(4, FOUR, name).possible
    assert not OwnCores(1, [], name).possible


def test_a_core_is_taken_with_all_its_hardware_threads(name: str) -> None:
    cores = physical_cores(range(8), lambda cpu: f"{cpu % 4},{cpu % 4 + 4}\n")
    assert cores == [{0, 4}, {1, 5}, {2, 6}, {3, 7}]
    assert OwnCores(2, cores, name).claim() == {2, 6, 3, 7}


def test_what_an_engine_held_is_free_when_its_process_is_killed(name: str) -> None:
    program = (
        "import sys, time\n"
        "from gateway.pool.own_cores import OwnCores\n"
        f"own = OwnCores(1, [frozenset({{0}}), frozenset({{1}})], {name!r})\n"
        "print(own.claim(), flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "frozenset({1})\n"
            mine = OwnCores(1, FOUR[:2], name)
            assert mine.claim() is None
        finally:
            other.kill()
    assert mine.claim() == {1}


def test_a_process_keeps_to_its_cpus_with_all_its_threads() -> None:
    cpu = max(os.sched_getaffinity(0))
    program = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "print(1, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            bind(process.pid, frozenset({cpu}))
            threads = [int(thread.name) for thread in Path(f"/proc/{process.pid}/task").iterdir()]
            assert len(threads) == 2
            assert all(os.sched_getaffinity(thread) == {cpu} for thread in threads)
        finally:
            process.kill()
    bind(process.pid, frozenset({cpu}))


def test_the_cores_of_this_machine_are_those_that_this_process_may_use() -> None:
    assert not here() or frozenset().union(*here()) == os.sched_getaffinity(0)

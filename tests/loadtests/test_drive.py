import asyncio
import os

import pytest

from loadtests.drive import LoadFailedError, drive
from loadtests.launch import free_port
from loadtests.load import Job
from loadtests.processes import read_cpu
from loadtests.prompts import prompts


async def test_a_generator_process_drives_streams_and_counts_all_of_them(serving):
    async with serving() as (toy, port):
        job = Job("127.0.0.1", port, "toy", prompts(20, seed=3), streams=8, max_tokens=5)
        load, before, after = await asyncio.to_thread(drive, job, lambda: read_cpu([os.getpid()]))
    assert toy.requests == 20
    assert (load.completed, load.tokens, load.token_events, load.problems) == (20, 100, 100, [])
    assert len(load.ttft_s) == 20
    assert len(load.gaps_s) == 80
    assert [text.split(".")[0] for text in load.texts] == [str(len(prompt)) for prompt in job.prompts]
    assert load.seconds <= after.at - before.at
    assert load.cpu_s > 0


async def test_streams_that_failed_are_reported_and_not_counted(serving):
    async with serving("status") as (_toy, port):
        job = Job("127.0.0.1", port, "toy", prompts(3, seed=3), streams=2, max_tokens=5)
        load, _, _ = await asyncio.to_thread(drive, job, lambda: None)
    assert load.completed == 0
    assert len(load.problems) == 3


def test_a_server_that_is_not_there_is_an_error():
    job = Job("127.0.0.1", free_port(), "toy", prompts(1, seed=3), streams=1, max_tokens=5)
    with pytest.raises(LoadFailedError):
        drive(job, lambda: None)


def test_prompts_are_distinct_within_and_between_seeds():
    first, second = prompts(500, seed=1), prompts(500, seed=2)
    assert len({*first, *second}) == 1000
    assert first == prompts(500, seed=1)

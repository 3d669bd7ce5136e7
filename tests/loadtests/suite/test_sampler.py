"""What is known of a Sluice from outside, and what is not."""

import os
import re

from loadtests.suite import plots
from loadtests.suite.sampler import Sample, sample


def test_who_gives_no_answer_is_not_said_to_be_idle():
    silent = sample("http://127.0.0.1:9", [os.getpid()], 7.0)
    assert (silent.at, [one.pid for one in silent.processes]) == (7.0, [os.getpid()])
    assert {silent.engines, silent.waiting, silent.running, silent.kv_use, silent.reservations} == {None}


def test_what_nobody_knows_is_a_gap_in_the_picture():
    known = [Sample(float(at), 1, 5, 9, 0.5, []) for at in range(5)]
    silent = Sample(2.0, None, None, None, None, [])
    assert pieces(plots.queue(known, 0.0)) == [1, 1]
    assert pieces(plots.queue([*known[:2], silent, *known[3:]], 0.0)) == [2, 2]
    assert pieces(plots.engines([silent], 0.0)) == []


def pieces(picture: str) -> list[int]:
    """Of each line."""
    drawn = re.findall(r'<path d="([^"]*)" clip-path="[^"]*" style="fill: none; stroke: #(?:1f77b4|ff7f0e)', picture)
    return [path.count("M") for path in drawn]

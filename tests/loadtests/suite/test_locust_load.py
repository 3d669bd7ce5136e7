"""Locust with the suite over a run: the shapes of its load, a trace shared by workers, and the account at its end."""

import csv
import json
import re
import threading
from pathlib import Path
from statistics import mean

import msgspec

from loadtests.suite.record import Outcome, Run
from loadtests.suite.timeline import windows
from tests.loadtests.toy_chat import Toy


def run_of(folder: Path, name: str = "records") -> Run:
    return msgspec.msgpack.decode((folder / name).read_bytes(), type=Run)


def test_what_has_not_ended_or_was_never_served_is_told_when_a_run_is_over(toy: Toy, started, tmp_path: Path):
    """Streams of twelve seconds that never stall; two to come back in a minute."""
    toy.pause_s, toy.refuse, toy.retry_after = 0.5, 2, 60
    options = ("--personas", "rag", "--think", "0.2", "--drain", "0.5", "--records", "records", "--slo", "")
    locust = started(toy, "--headless", "-u", "8", "-r", "8", "-t", "2s", *options)
    locust.wait(30)
    kept = run_of(tmp_path).records
    said = [one.outcome for one in kept]
    assert (said.count(Outcome.REFUSED), said.count(Outcome.UNSERVED)) == (2, 2)
    unended = [one for one in kept if one.problem.startswith("no end ")]
    assert unended
    assert {one.outcome for one in unended} == {Outcome.FAILED}
    assert len(kept) - 2 == len(toy.asked), "each request that was sent has a record"


def test_a_token_that_is_lost_on_the_way_fails_the_stream_that_lacks_it(toy: Toy, started, tmp_path: Path):
    toy.lossy = True
    options = ("--headless", "-u", "4", "-r", "4", "-t", "4s", "--personas", "chat", "--think", "0", "--slo", "")
    strict = started(toy, *options, "--records", "records")
    counting = started(toy, *options, "--records", "counted", "--same-texts", "no", name="counting")
    for locust in (strict, counting):
        locust.wait(30)
    kept = run_of(tmp_path, "counted").records
    assert {one.outcome for one in kept} == {Outcome.RIGHT}
    assert any(one.changed for one in kept), "where texts may differ it is counted"
    wrong = {one.problem for one in run_of(tmp_path).records if one.outcome is Outcome.FAILED}
    assert wrong
    assert all(problem.startswith("question ") and "the first time" in problem for problem in wrong)


def test_a_ramp_climbs_a_burst_bursts_and_a_day_follows_its_trace(toy: Toy, started, tmp_path: Path):
    """All at once. Locust asks for the load once a second; with no pause for thought each user is one stream."""
    toy.pause_s = 0.02
    with (tmp_path / "day.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(("timestamp", "input_tokens", "output_tokens"))
        rows.writerows((at, 8, 8) for at in [*range(50), *(50 + place / 4 for place in range(200))])

    def start(shape: str, *options: str) -> None:
        common = ("--headless", "--personas", "rag", "--think", "0", "--slo", "", "--shape", shape, "--records", shape)
        running[shape] = started(toy, *common, *options, name=f"{shape}-log")

    running = {}
    start("ramp", "-u", "12", "--step", "2", "--step-seconds", "1", "--minutes", "0.075")
    start("burst", "-u", "1", "--minutes", "0.125")
    start("day", "-u", "8", "--minutes", "0.1", "--trace", "day.csv")
    assert [locust.wait(60) for locust in running.values()] == [0, 0, 0]

    ramp = run_of(tmp_path, "ramp")
    assert [users for users, _, _ in ramp.steps][:4] == [2, 4, 6, 8]
    assert "knee: none, not saturated" in (tmp_path / "ramp-log.log").read_text(), "the toy has no limit"

    def load(shape: str, begin: float, end: float) -> list[float]:
        run = run_of(tmp_path, shape)
        return [one.in_flight for one in windows(run.records, run.begin + begin, run.begin + end, 0.1)]

    assert mean(load("burst", 1.0, 2.9)) < 1.5
    assert max(load("burst", 3.0, 5.0)) > 8
    assert mean(load("burst", 5.5, 7.0)) < 1.5
    assert mean(load("day", 1.2, 2.8)) < 3
    assert mean(load("day", 4.2, 5.8)) > 5


def test_a_ramp_ends_early_where_throughput_grows_no_more_and_says_where(toy: Toy, started, tmp_path: Path):
    toy.pause_s, toy.seats = 0.01, threading.Semaphore(8)
    options = ("-u", "60", "--step", "4", "--step-seconds", "1.2", "--minutes", "0.5", "--records", "records")
    locust = started(toy, "--headless", "--personas", "rag", "--think", "0", "--slo", "", "--shape", "ramp", *options)
    assert locust.wait(60) == 0
    users = [step[0] for step in run_of(tmp_path).steps]
    assert users[-1] < 40, "of 60"
    told = re.search(r"knee: (\d+) users", (tmp_path / "out.log").read_text())
    assert told
    assert 8 <= int(told[1]) <= 12


def test_two_workers_replay_each_arrival_of_a_trace_once(toy: Toy, two_workers, tmp_path: Path):
    lines = [{"timestamp": 50 * n, "input_length": 64, "output_length": 3 + n, "hash_ids": [n]} for n in range(20)]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, lines)))
    master, workers = two_workers(
        toy, "-u", "2", "-r", "2", "-t", "3s", "--arrivals", "trace", "--trace", "trace.jsonl", "--records", "records",
        "--slo", "",
    )  # fmt: skip
    assert master.wait(60) == 0
    assert [worker.wait(20) for worker in workers] == [0, 0]
    assert sorted(one.tokens for one in run_of(tmp_path).records) == list(range(3, 23))

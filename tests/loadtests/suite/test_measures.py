"""From records to figures: percentiles, goodput, windows, memory growth, and where a ramp bends."""

import math
from random import Random

import pytest

from loadtests.suite.knee import Point, Step, knee, points, saturated, whole
from loadtests.suite.measures import Good, measure
from loadtests.suite.record import Journal, Outcome, Record, packed
from loadtests.suite.sampler import Process, Sample, ended, growth, leaked_descriptors, unsettled
from loadtests.suite.timeline import windows

GOOD = Good(ttft_ms=100, inter_token_ms=20)


def record(
    at: float = 0.0, outcome: Outcome = Outcome.RIGHT, ttft_s: float = 0.05, gap_s: float = 0.01, **more
) -> Record:
    fields = {"persona": "chat", "status": 200, "judged": True, "lag_s": 0.0, "e2e_s": 1.0, "tokens": 11}
    return Record(at=at, outcome=outcome, ttft_s=ttft_s, gaps=packed([gap_s] * 10), **(fields | more))


def test_goodput_counts_streams_that_are_right_and_quick_enough():
    slow, halting = record(ttft_s=0.2), record(gap_s=0.03)
    wrong = record(outcome=Outcome.FAILED, problem="no usage")
    others = [
        record(judged=False, ttft_s=9.0),
        record(outcome=Outcome.REFUSED),
        record(outcome=Outcome.LEFT, changed=True),
    ]
    found = measure([record(), slow, halting, wrong, *others], 10, GOOD)
    assert (found.goodput, found.goodput_per_s) == (0.25, 0.1)
    assert (found.right, found.refused, found.left, found.failed) == (4, 1, 1, 1)
    assert found.error_rate == 0.2
    assert found.ttft_ms.max == pytest.approx(200)
    assert found.inter_token_ms.count == 30
    assert found.problems == ["chat: no usage"]
    assert found.by_persona == {"chat": {"right": 4, "refused": 1, "left": 1, "failed": 1, "unserved": 0}}
    assert found.changed == 1


def test_who_was_refused_and_never_served_was_not_served_well():
    """A gateway that turns half of its clients away until the run is over has no good goodput."""
    turned_away = [record(outcome=Outcome.REFUSED), record(outcome=Outcome.UNSERVED, status=0)]
    found = measure([record(), *turned_away, record(outcome=Outcome.UNSERVED, judged=False)], 10, GOOD)
    assert (found.goodput, found.error_rate, found.unserved) == (0.5, 0.0, 2)


def test_tool_calls_are_counted_where_one_was_to_be_made():
    found = measure([record(called=True), record(called=False), record(called=True), record()], 10, GOOD)
    assert found.values()["tool_calls"] == pytest.approx(2 / 3)
    assert "tool_calls" not in measure([record()], 10, GOOD).values()


def test_a_run_without_answers_is_no_good_run():
    found = measure([], 10, GOOD)
    assert (found.error_rate, found.goodput) == (1.0, 0.0)
    assert math.isnan(found.ttft_ms.p99)


def test_windows_spread_a_stream_over_the_time_that_it_ran():
    (first, second) = windows([record(at=103.0, e2e_s=4.0, ttft_s=0.0, tokens=40)], 100.0, 110.0, 5.0)
    assert (first.in_flight, second.in_flight) == (0.4, 0.4)
    assert (first.tokens_per_s, second.tokens_per_s) == (4.0, 4.0)
    assert (first.right, second.right) == (0, 1)
    assert math.isnan(first.ttft_p99_ms)
    assert second.e2e_p50_ms == 4000


def test_a_request_that_waits_for_its_retry_is_not_in_flight():
    (first, second) = windows([record(at=100.0, sent_s=6.0, e2e_s=7.0, tokens=0)], 100.0, 110.0, 5.0)
    assert (first.in_flight, second.in_flight) == (0.0, 0.2)


def test_the_rate_of_a_stream_is_of_tokens_and_not_of_events():
    assert record(tokens=21).tokens_per_s == pytest.approx(200)
    assert record(tokens=0).tokens_per_s == pytest.approx(100), "without usage there are only its events"
    assert record(gap_s=0.0).tokens_per_s is None


def test_records_travel_from_worker_to_master():
    worker, master = Journal(), Journal()
    worker.records.append(record())
    worker.turns = 2
    master.take(worker.drain())
    master.take(worker.drain())
    assert (master.records, worker.records) == ([record()], [])
    assert (master.turns, worker.turns) == (2, 0)
    assert master.records[0].gaps_s == pytest.approx([0.01] * 10)


def curve(*rates: float) -> list[Point]:
    return [Point(8 * (place + 1), rate, 10.0) for place, rate in enumerate(rates)]


def test_the_knee_is_where_throughput_bends():
    bend = knee(curve(100, 200, 300, 400, 420, 430, 435, 436))
    assert bend is not None
    assert bend.users == 32
    assert knee(curve(1, 2)) is None


def test_a_straight_line_has_no_knee_however_many_steps_it_has():
    for count in (3, 16, 80):
        line = curve(*(100.0 * (place + 1) for place in range(count)))
        assert knee(line) is None
        assert not saturated(line)


def test_a_ramp_is_saturated_when_three_steps_bring_hardly_anything():
    assert not saturated(curve(100, 200, 300, 400))
    assert not saturated(curve(100, 200, 205, 260))
    assert not saturated(curve(100, 200, 300, 305, 302))
    assert saturated(curve(100, 200, 300, 305, 302, 310))
    assert not saturated(curve(900, 1235, 1512, 1567, 1705)), "measured: it went on to 1,877"


def test_a_step_is_judged_when_the_longest_stream_so_far_would_have_ended():
    steps = [Step(8, 0.0, 15.0), Step(16, 15.0, 30.0)]
    seen = [record(at=2.0, e2e_s=4.0), record(at=5.0, sent_s=60.0, e2e_s=61.0)]
    assert whole(seen, steps, 18.9) == []
    assert whole(seen, steps, 19.0) == steps[:1], "a wait for a retry is no stream"
    assert whole([], steps, 30.0) == steps


def test_a_step_is_not_judged_before_its_workers_records_have_come():
    """Three seconds may pass until a worker reports: what has not come by then would be missing from the throughput."""
    steps, every = [Step(8, 0.0, 15.0)], [record(at=at / 10, e2e_s=1.0, ttft_s=0.0, tokens=10) for at in range(139)]

    def told(now: float) -> list[Record]:
        return [one for one in every if one.ended + 3.0 <= now]

    judged = [now for now in range(15, 25) if whole(told(now), steps, now, late_s=4.0)]
    assert judged[0] == 20
    assert points(told(judged[0]), steps) == points(every, steps)
    assert points(told(16), steps) != points(every, steps)


def test_a_steps_throughput_leaves_its_begin_out():
    steady = [record(at=at, e2e_s=1.0, ttft_s=0.0, tokens=10) for at in range(10, 20)]
    (point,) = points([record(at=1.0, tokens=900, e2e_s=1.0), *steady], [Step(4, 0.0, 20.0)])
    assert point.users == 4
    assert point.tokens_per_s == pytest.approx(100 / 14, rel=1e-3)


def test_a_ramp_that_is_judged_reads_each_record_once_and_knows_its_steps():
    class Counted(list):
        readings = 0

        def __iter__(self):
            self.readings += 1
            return super().__iter__()

    rng = Random(1)
    seen = Counted(
        record(at=rng.uniform(-5, 85), e2e_s=1 + rng.expovariate(0.2), ttft_s=rng.random()) for _ in range(400)
    )
    steps = [Step(8 * number, 20.0 * (number - 1), 20.0 * number) for number in range(1, 5)]
    found = points(seen, steps)
    assert seen.readings == 1
    for point, step in zip(found, steps, strict=True):
        (window,) = windows(seen, step.begin + 6, step.end, 14 - 1e-9)
        assert point.users == step.users
        assert (point.tokens_per_s, point.ttft_p99_ms) == pytest.approx((window.tokens_per_s, window.ttft_p99_ms))


def sampled(*anon: int) -> list[Sample]:
    return [
        Sample(float(at), 1, 0, 0, 0.0, [Process(1, "gateway", size * 2**20, 40), Process(2 + at, "other", 1, 1)])
        for at, size in enumerate(anon)
    ]


def test_memory_growth_is_from_the_middle_to_the_end():
    (grown,) = growth(sampled(10, 50, 50, 100, 100, 101, 105, 110, 120, 120))
    assert (grown.role, grown.before_mib, grown.growth_mib) == ("gateway", 100.0, 20.0)


def test_a_gateway_or_an_engine_that_did_not_live_through_the_run_is_named():
    def seen(*processes: tuple[int, str]) -> Sample:
        return Sample(0.0, 1, 0, 0, 0.0, [Process(pid, role, 1, 1) for pid, role in processes])

    before = seen((1, "gateway"), (2, "engine replica"), (3, "engine core"), (4, "spare Ray workers"))
    assert ended(before, before) == []
    after = seen((1, "gateway"), (5, "engine replica"), (6, "engine core"))
    assert ended(before, after) == [
        "engine replica (2) did not live through the run", "engine core (3) did not live through the run",
    ]  # fmt: skip


def test_more_open_files_than_before_are_a_leak():
    (before,) = sampled(1)
    after = Sample(1.0, 1, 0, 0, 0.0, [Process(1, "gateway", 1, 90)])
    assert leaked_descriptors(before, after, 50) == []
    assert leaked_descriptors(before, after, 49) == ["gateway (1): 90 file descriptors, 40 before"]


def test_what_an_idle_sluice_still_holds_is_named():
    idle = {"running": 0, "running_sequences": 0, "waiting": 0, "prefill_tokens": 0}
    model = {"name": "m", "streams": 0, "admission": idle, "engines": [{"id": "e-1", "requests": 0}]}
    assert unsettled({"models": [model]}) == []
    held = {"models": [model | {"streams": 2, "engines": [{"id": "e-1", "requests": 1}]}]}
    assert unsettled(held) == ["m: 2 streams", "m: 1 requests at e-1"]
    assert unsettled({"models": [], "limits": {"open_reservations": 3}}) == ["3 reservations not settled"]

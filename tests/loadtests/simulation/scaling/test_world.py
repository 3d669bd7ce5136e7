"""The simulator, on cases that can be reckoned by hand."""

from dataclasses import replace

import pytest

from deployments.autoscaling.observation import EngineReading
from gateway.admission.estimates import FIRST_COMPLETION
from gateway.config.autoscaling import Autoscaling
from loadtests.simulation.scaling import oracle, search, speeds, study
from loadtests.simulation.scaling.arrivals import Arrival, Trace, copies, read, synthetic
from loadtests.simulation.scaling.policies import Keda, Plan, Sluice
from loadtests.simulation.scaling.speeds import Speeds
from loadtests.simulation.scaling.study import Given
from loadtests.simulation.scaling.world import BOUNDS, NEVER, Seen, Setup, World

TWO = Speeds("two sequences", (0.1, 0.1, 0.2), ((0.0, 0.0), (1000.0, 1.0)))


def trace(*arrivals: tuple[float, int, int]) -> Trace:
    return Trace("toy", tuple(Arrival(*arrival) for arrival in arrivals))


def fixed(number: int) -> Plan:
    return Plan("fixed", [(0.0, number)])


def run(given: Trace, policy, startup_s: float = 5.0, first: int = 1, **setup):
    return World(given, Setup(TWO, startup_s, first=first, **setup), policy).run()


def test_a_prompt_alone_takes_its_prefill():
    assert run(trace((0.0, 500, 5)), fixed(1)).ttfts == [pytest.approx(0.5)]


def test_prompts_are_prefilled_in_order_of_arrival():
    outcome = run(trace((0.0, 1000, 1), (0.1, 1000, 1)), fixed(1))
    assert outcome.ttfts == [pytest.approx(1.0), pytest.approx(1.9)]


def test_who_finds_all_slots_taken_waits_at_the_gateway_until_a_sequence_ends():
    """Two of 11 tokens run, both from 2.0 on at a step of 0.2 s; the first has had one token by then."""
    outcome = run(trace((0.0, 1000, 11), (0.0, 1000, 11), (0.0, 1000, 1)), fixed(1))
    assert outcome.waits[:2] == [0.0, 0.0]
    assert outcome.waits[2] == pytest.approx(2.0 + 9 * 0.2)
    assert outcome.ttfts[2] == pytest.approx(outcome.waits[2] + 1.0)


def test_a_second_replica_takes_what_the_first_has_no_slot_for_once_it_has_started():
    outcome = run(trace(*((0.0, 1000, 500) for _ in range(3))), fixed(2), startup_s=7.0)
    assert outcome.waits == [0.0, 0.0, pytest.approx(7.0)]


def test_replicas_are_paid_for_from_the_asking_to_the_last_token():
    """One is there for all 100 s; another is asked for at 10, serves at 30, is let go at 40 and drains until it has ended."""
    plan = Plan("plan", [(0.0, 1), (10.0, 2), (40.0, 1)])
    alone = run(trace((0.0, 10, 2), (100.0, 10, 1)), plan, startup_s=20.0)
    assert alone.replica_s == pytest.approx(100 + 30, abs=0.1)
    assert (alone.ups, alone.downs, alone.turns) == (1, 1, 1)
    plan = Plan("plan", [(0.0, 1), (10.0, 2), (40.0, 1)])
    busy = run(trace((0.0, 10, 400), (0.0, 10, 400), (39.0, 10, 301), (100.0, 10, 1)), plan, startup_s=20.0)
    assert busy.replica_s == pytest.approx(100 + 30 + 29, abs=1.0)


def test_one_that_has_not_come_yet_is_called_off_first():
    outcome = run(trace((0.0, 10, 2), (60.0, 10, 1)), Plan("plan", [(0.0, 1), (10.0, 2), (15.0, 1)]), startup_s=20.0)
    assert outcome.replica_s == pytest.approx(60 + 5, abs=0.1)


def test_the_policy_sees_the_queue_and_the_engines():
    seen: list[Seen] = []

    class Looks:
        name, measures = "looks", True

        def target(self, observation: Seen, now: float) -> int:
            seen.append(observation)
            return 1

    run(trace(*((0.0, 1000, 20) for _ in range(4))), Looks())
    assert seen[2].queue_requests == 2
    assert seen[2].queue == (2000, 2 * FIRST_COMPLETION), "how long answers will be, nobody can know"
    assert seen[2].arrived == (4000, 4 * FIRST_COMPLETION)
    assert seen[-1].arrived[1] == 4 * FIRST_COMPLETION
    assert seen[2].engines[0].requests == 2
    assert seen[2].oldest_s == pytest.approx(2.0)
    assert seen[2].engines[0].use > 0


def test_answers_are_expected_to_be_as_long_as_those_that_have_ended():
    given = trace((0.0, 10, 11), (30.0, 10, 11), (31.0, 10, 11))
    expected: list[float] = []

    class Looks:
        name, measures = "looks", False

        def target(self, observation: Seen, now: float) -> int:
            expected.append(observation.arrived.completion)
            return 1

    run(given, Looks())
    assert expected[1] == FIRST_COMPLETION
    assert expected[-1] - expected[29] == pytest.approx(2 * (FIRST_COMPLETION + 11) / 2, abs=1)


def test_who_waits_beyond_the_deadline_or_finds_the_queue_full_is_refused():
    given = trace(*((0.0, 1000, 900) for _ in range(2)), *((1.0 + number / 1e4, 10, 2) for number in range(1100)))
    outcome = run(given, fixed(1), deadline_s=60.0)
    assert outcome.refused == 1100
    assert outcome.ttfts.count(NEVER) == 1100
    patient = run(given, fixed(1), deadline_s=NEVER)
    assert patient.refused == 1100 - BOUNDS.max_requests
    assert patient.ttfts[-1] == NEVER
    assert study.attained(outcome, 3.0) == pytest.approx(2 / 1102)


def test_our_policy_sees_the_world_as_late_as_the_deployed_one():
    """Before any speed is known, somebody who has waited too long asks for one replica more than there are."""
    policy, quiet = Sluice(Autoscaling(max_replicas=9), delay_s=3.0), Seen((EngineReading(1, 64),), 1)
    crowd = replace(quiet, queue_requests=500, oldest_s=9.0)
    assert [policy.target(quiet if second < 5 else crowd, float(second)) for second in range(9)] == [1] * 8 + [2]


def test_every_request_is_answered_once_whoever_scales():
    given = Given(synthetic(seed=5, minutes=4), speeds.synthetic(), 20.0, 8, 3.0, 0.99)
    for policy in (study.ours(8), *(setting.policy() for setting in search.coarse()[::5])):
        outcome = study.run(given, policy)
        assert len(outcome.ttfts) == len(given.trace.arrivals)
        assert min(outcome.ttfts) > 0
        assert max(count for _, count in outcome.counts) <= 8


def test_the_same_seed_gives_the_same_run():
    given = Given(synthetic(seed=5, minutes=3), speeds.synthetic(), 30.0, 9, 3.0, 0.99)
    assert given.trace == synthetic(seed=5, minutes=3) != synthetic(seed=6, minutes=3)
    assert study.run(given, study.ours(9)).ttfts == study.run(given, study.ours(9)).ttfts


def test_the_oracle_reaches_what_is_asked_with_less_than_enough_for_the_peak():
    given = Given(synthetic(seed=2, minutes=3), speeds.synthetic(), 10.0, 64, 3.0, 0.99)
    best, surer = oracle.best(given.trace, given.setup, lambda outcome: study.attained(outcome, 3.0), (0.99, 0.999))
    peak = max(count for _, count in best.counts)
    always = World(given.trace, given.setup._replace(first=peak), fixed(peak)).run()
    assert study.attained(best, 3.0) >= 0.99
    assert study.attained(surer, 3.0) >= 0.999
    assert best.replica_s <= surer.replica_s
    assert best.replica_s < always.replica_s


def test_gaps_no_longer_than_a_start_are_filled():
    assert oracle.fill([2, 1, 2, 1, 1, 1, 2], 2) == [2, 2, 2, 1, 1, 1, 2]
    assert oracle.asked_for([1, 1, 3, 1], 10.0, 15.0) == [(0.0, 3), (10.0, 3), (20.0, 3), (30.0, 1)]


def test_kedas_way_counts_who_waits_anywhere_and_keeps_the_highest_wish():
    keda = Keda(threshold=5, poll_s=15, down_s=60)
    assert keda.target(Seen((), 1, queue_requests=13, queued=10), 0.0) == 5
    assert keda.target(Seen((), 5), 5.0) == 5, "not asked before the next poll"
    assert keda.target(Seen((), 5), 45.0) == 5
    assert keda.target(Seen((), 5), 61.0) == 1
    assert Keda(down_s=300).target(Seen((), 4), 0.0) == 4, "what it began with is the first wish"
    busy = Seen((EngineReading(20, 64), EngineReading(20, 64)), 2, queue_requests=10)
    assert Keda(threshold=10, running=True).target(busy, 0.0) == 5


def test_speeds_are_read_by_columns_and_never_fall(tmp_path):
    table = tmp_path / "speeds.csv"
    rows = ["model,hardware,tensor_parallel,prompt_size,batch_size,token_size,prompt_time,token_time"]
    for prompt, batch, prompt_ms, token_ms in (
        (512, 1, 100, 40),
        (1024, 1, 90, 41),
        (512, 32, 3000, 50),
        (512, 64, 1, 45),
    ):
        rows.append(f"m,h,2,{prompt},{batch},128,{prompt_ms},{token_ms}")
    table.write_text("\n".join(rows))
    engine = speeds.read(table, "m", "h", 2)
    assert engine.prefill_s(512) == pytest.approx(0.1)
    assert engine.prefill_s(2048) == pytest.approx(0.1), "90 ms for twice as much is not believed"
    assert engine.step_s[32] == pytest.approx(0.05)
    assert engine.step_s[64] == pytest.approx(0.05)
    with pytest.raises(ValueError, match="no rows of m on other"):
        speeds.read(table, "m", "other", 2)


def test_traces_of_requests_and_of_rates_are_told_apart_by_their_columns(tmp_path):
    requests, rates, neither = tmp_path / "requests.csv", tmp_path / "rates.csv", tmp_path / "neither.csv"
    requests.write_text("arrival_s,input_tokens,output_tokens\n1.5,10,3\n0.5,20,4\n")
    rates.write_text("t_s,total_rps\n0,10\n600,30\n")
    neither.write_text("a,b\n1,2\n")
    read_ = read(requests, 1.0, 1.0, seed=1)
    assert read_.arrivals == (Arrival(0.5, 20, 4), Arrival(1.5, 10, 3))
    assert len(copies(read_, 3, seed=1).arrivals) == 6
    drawn = read(rates, 0.5, 10.0, seed=1, lengths=read_.arrivals)
    assert drawn.span_s < 120
    assert 60 * 20 * 0.85 < len(drawn.arrivals) < 60 * 20 * 1.15
    assert {arrival.prompt for arrival in drawn.arrivals} == {10, 20}
    with pytest.raises(ValueError, match="neither arrival_s"):
        read(neither, 1.0, 1.0, seed=1)

"""The policy: what it asks for, and what it never does, whatever it sees."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.autoscaling.observation import REASONS, EngineReading, Observation, State, Work
from deployments.autoscaling.policy import TOLERANCE, decide, startup, window
from gateway.config.autoscaling import Autoscaling

PROMPT_S, COMPLETION_S = 0.001, 0.01
EASY = Autoscaling(
    max_replicas=8, startup_s=10, stabilization_s=30, down_cooldown_s=5, use=1.0, headroom=0.0, spare=0.0
)


def engines(number: int, use: float = 0.5, requests: int = 4, waiting: float = 0.0) -> tuple[EngineReading, ...]:
    return tuple(EngineReading(requests, 64, waiting, 0.0, use, PROMPT_S, COMPLETION_S) for _ in range(number))


class Run:
    """Observations one second apart; `work` is what arrives per second, in replicas."""

    def __init__(self, config: Autoscaling, target: int = 1, startup_s: float = 10.0) -> None:
        self.config, self.target, self.state = config, target, State()
        self.now, self.came, self.ready = 1000.0, 0.0, target
        self._startup_s, self._due = startup_s, []
        self.reasons: list[str] = []

    def step(self, work: float, use: float | None = None, **seen) -> int:
        self.now += 1
        self.came += work / COMPLETION_S
        self.ready += sum(due <= self.now for due in self._due)
        self._due = [due for due in self._due if due > self.now]
        use = min(1.0, work / max(1, self.ready)) if use is None else use
        there = engines(self.ready, use, requests=4 if work else 0)
        decision = decide(
            Observation(there, self.target, arrived=Work(0.0, self.came), **seen), self.state, self.now, self.config
        )
        if decision.target > self.target:
            self._due += [self.now + self._startup_s] * (decision.target - self.target)
        self.ready = min(self.ready, decision.target)
        self._due = self._due[: max(0, decision.target - self.ready)]
        self.target, self.state, self.reasons = decision.target, decision.state, list(decision.reasons)
        return self.target

    def steps(self, number: int, work: float, **seen) -> list[int]:
        return [self.step(work, **seen) for _ in range(number)]


def test_as_many_replicas_as_the_work_that_arrives_asks_for():
    assert Run(EASY).steps(120, 3.5)[-1] == 4


def test_spares_are_kept_beyond_the_need_but_not_by_a_model_that_nobody_asks():
    run = Run(EASY.model_copy(update={"warm_spares": 2, "min_replicas": 0, "idle_s": 20.0}))
    assert run.steps(120, 2.5)[-1] == 3 + 2
    assert run.steps(120, 1.5)[-1] == 2 + 2
    assert run.steps(200, 0.0)[-1] == 0


def test_prompts_count_at_their_own_price():
    run = Run(EASY)
    for _ in range(60):
        run.now += 1
        run.came += 2000
        seen = Observation(engines(2), 2, arrived=Work(run.came, 0.0))
        run.state = decide(seen, run.state, run.now, EASY).state
    assert run.state.forecast.rate == pytest.approx(2000 * PROMPT_S, rel=0.05)


def test_work_at_the_gateway_scales_up_though_the_engines_queues_are_short():
    run = Run(EASY)
    run.steps(60, 0.9)
    assert run.target == 1
    run.step(0.9, queue=Work(0.0, 30 / COMPLETION_S), queue_requests=30, oldest_s=3.0)
    assert run.target > 1
    assert any("backlog: 30.0 s of it" in reason for reason in run.reasons), run.reasons


def test_one_that_waits_too_long_for_a_slot_scales_up_however_little_it_asks_for():
    """Long answers keep all slots; of work next to nothing waits, and every replica that comes changes that."""
    run = Run(EASY)
    run.steps(60, 0.1)
    waits = {"queue": Work(0.0, 1.0), "queue_requests": 1}
    full = engines(1, use=0.3, requests=64)
    run.now += 1
    seen = Observation(full, 1, arrived=Work(0.0, run.came), oldest_s=EASY.goal_s - 0.1, **waits)
    assert decide(seen, run.state, run.now, EASY).target == 1, "not yet"
    decision = decide(replace(seen, oldest_s=EASY.goal_s + 0.1), run.state, run.now, EASY)
    assert decision.target == 2
    assert any("oldest: it has waited" in reason for reason in decision.reasons)
    again = decide(replace(seen, target=2, oldest_s=9.0), decision.state, run.now + 1, EASY)
    assert again.target == 2, "the one that is coming is not asked for twice"
    free = replace(seen, engines=engines(1, use=0.3, requests=4), oldest_s=60.0)
    assert decide(free, run.state, run.now, EASY).target == 1, "somebody else keeps it waiting"


def test_nothing_goes_while_no_engine_tells_anything():
    run = Run(EASY, target=4)
    run.steps(60, 3.5)
    for _ in range(200):
        run.now += 1
        decision = decide(Observation((), 4, arrived=Work(0.0, run.came)), run.state, run.now, EASY)
        run.state = decision.state
        assert decision.target == 4


def test_a_backlog_that_is_worked_off_before_a_replica_could_come_starts_none():
    run = Run(EASY, target=4)
    run.steps(60, 0.5)
    assert run.step(0.5, queue=Work(0.0, 12 / COMPLETION_S), queue_requests=5, oldest_s=2.1) <= 4
    assert run.state.up_at is None


def test_replicas_that_are_coming_already_are_not_asked_for_again():
    run = Run(EASY, startup_s=10)
    run.steps(40, 0.9)
    asked = [run.step(2.4, queue=Work(0.0, 5 / COMPLETION_S), queue_requests=5, oldest_s=1.0) for _ in range(9)]
    assert max(asked) <= 4, asked


def test_the_trend_is_followed_as_far_as_a_start_takes():
    reached = []
    for startup_s in (120.0, 2.0):
        run = Run(EASY.model_copy(update={"startup_s": startup_s}), target=2, startup_s=startup_s)
        run.steps(60, 1.0)
        reached.append(next(second for second in range(200) if run.step(1.0 + second / 60, use=0.5) == 4))
    assert reached[0] < reached[1] - 15, reached


def test_busy_engines_without_a_request_of_serves_own_are_not_scaled_down():
    """What arrives is not known here at all; the engines say that they are busy."""
    run = Run(EASY, target=3)
    assert run.steps(200, 0.0, use=0.95)[-1] == 3


def test_kv_caches_that_are_full_ask_for_more():
    full = tuple(EngineReading(10, 64, 0.0, 0.95, 0.3, PROMPT_S, COMPLETION_S) for _ in range(3))
    decision = decide(Observation(full, 3), State(), 5.0, EASY)
    assert decision.target == 4
    assert any("KV caches" in reason for reason in decision.reasons)


def test_down_by_one_at_a_time_after_the_window_and_the_cooldown():
    run = Run(EASY, target=6)
    run.steps(60, 5.5)
    targets = run.steps(120, 1.5)
    assert targets[25] == 6, "the window still knows the peak"
    assert targets[-1] == 2
    changes = [place for place, (a, b) in enumerate(pairwise(targets)) if a != b]
    assert {a - b for a, b in pairwise(targets)} == {0, 1}
    assert min(b - a for a, b in pairwise(changes)) >= EASY.down_cooldown_s


def test_steps_are_limited_but_not_in_a_panic():
    config = EASY.model_copy(update={"max_step": 2, "panic_s": 60.0})
    calm, panic = Run(config), Run(config.model_copy(update={"panic_s": 5.0}))
    for run in (calm, panic):
        run.steps(40, 0.9)
        run.step(0.9, queue=Work(0.0, 50 / COMPLETION_S), queue_requests=50, oldest_s=5.0)
    assert calm.target == 3
    assert panic.target > 3
    assert any("panic" in reason for reason in panic.reasons)
    held = panic.steps(50, 0.1)
    assert min(held) == panic.config.max_replicas or min(held) >= 4, "and nothing goes for a while after"


def test_bounds_that_hold_a_decision_back_are_among_its_reasons():
    run = Run(EASY.model_copy(update={"max_step": 1, "max_replicas": 3}))
    given = []
    for _ in range(60):
        run.step(6.0)
        given.append({reason.partition(":")[0] for reason in run.reasons})
    assert ["max_step" in kinds for kinds in given if "more" in kinds] == [True, False]
    assert "max_replicas" in given[-1], "though nothing changes"


def test_up_again_only_after_the_cooldown():
    run = Run(EASY.model_copy(update={"up_cooldown_s": 20.0, "max_step": 1}), target=1, startup_s=1)
    targets = run.steps(60, 6.0)
    ups = [place for place, (a, b) in enumerate(pairwise(targets)) if b > a]
    assert ups
    assert all(b - a >= 20 for a, b in pairwise(ups))


def test_to_zero_after_the_idle_time_and_back_when_somebody_waits():
    run = Run(EASY.model_copy(update={"min_replicas": 0, "idle_s": 20.0}))
    run.steps(50, 0.5)
    targets = run.steps(30, 0.0)
    assert targets[18] == 1
    assert targets[-1] == 0
    assert run.step(0.0) == 0, "and stays there"
    assert run.step(0.0, queue_requests=1, oldest_s=0.1) == 1


def test_short_requests_between_two_looks_keep_the_last_replica():
    run = Run(EASY.model_copy(update={"min_replicas": 0, "idle_s": 20.0}))
    run.steps(40, 0.2)
    for _ in range(6):
        run.came += 50
        assert run.steps(15, 0.0)[-1] == 1


def test_a_replica_that_has_just_come_is_not_idle():
    run = Run(EASY.model_copy(update={"min_replicas": 0, "idle_s": 20.0}))
    run.steps(30, 0.0)
    assert run.target == 0
    run.now += 300
    run.target, run.ready = 1, 1
    assert run.step(0.0) == 1


def test_the_start_up_time_is_measured():
    run = Run(EASY.model_copy(update={"startup_s": None}), startup_s=17)
    run.steps(10, 0.9)
    assert startup(run.state, run.config) == 60
    run.steps(60, 2.8)
    assert startup(run.state, run.config) == pytest.approx(17, abs=1)


@pytest.mark.parametrize("known", [None, 20.0])
def test_replicas_that_wait_an_hour_for_a_node_do_not_make_every_start_an_hour_long(known):
    run = Run(EASY.model_copy(update={"startup_s": None}))
    run.state = replace(run.state, startup_s=known)
    run.steps(30, 0.9)
    run.state, run.target = replace(run.state, starts=(run.now, run.now)), 3
    run.now += 3600
    run.ready = 3
    run.step(2.5)
    assert startup(run.state, run.config) <= 4 * (known or 60)
    assert not run.state.starts


def test_the_start_up_time_is_measured_of_the_replica_that_serve_starts_from_zero_too():
    run = Run(EASY.model_copy(update={"startup_s": None, "min_replicas": 0, "idle_s": 5.0}))
    run.steps(80, 0.0)
    assert run.target == 0
    for asked in (12, 0):
        run.now, run.target, run.ready = run.now + 20 - asked, 1, 0
        for _ in range(asked):
            run.step(0.0, queue_requests=1, oldest_s=1.0)
        run.ready = 1
        run.step(0.3)
        assert run.state.startup_s == pytest.approx(20, abs=1.5), "whether Serve asks meanwhile or not"
        run.steps(10, 0.0)
        assert run.target == 0


def test_the_season_before_is_used_only_where_it_is_switched_on():
    """A rise in each of two days: the second one is met by replicas that were started before it."""
    config = EASY.model_copy(update={"startup_s": 20.0, "stabilization_s": 5.0, "down_cooldown_s": 0.0})
    seasonal = config.model_copy(update={"season_s": 600.0})
    met = []
    for settings_ in (config, seasonal):
        run = Run(settings_)
        run.now = 600.0
        for second in range(1200):
            run.step(5.0 if second % 600 >= 300 else 1.0)
            if second == 898:
                met.append(run.target)
    assert met[0] <= 2
    assert met[1] >= 4


READING = st.builds(
    EngineReading,
    requests=st.integers(0, 64),
    slots=st.just(64),
    waiting_tokens=st.floats(0, 1e5),
    kv_use=st.floats(0, 1),
    use=st.floats(0, 1.5),
    prompt_s=st.sampled_from([0.0, 1e-4]),
    completion_s=st.sampled_from([0.0, 1e-3]),
)
SEEN = st.tuples(
    st.lists(READING, max_size=3), st.integers(0, 200), st.floats(0, 1e5), st.floats(0, 60), st.floats(0, 5e4)
)
CONFIG = st.builds(
    Autoscaling,
    min_replicas=st.integers(0, 2),
    max_replicas=st.integers(2, 9),
    max_step=st.integers(1, 3),
    stabilization_s=st.sampled_from([0.0, 10.0, 60.0, None]),
    idle_s=st.sampled_from([0.0, 30.0]),
    season_s=st.sampled_from([None, 100.0]),
    down_cooldown_s=st.sampled_from([0.0, 7.0]),
)


@given(CONFIG, st.lists(st.tuples(SEEN, st.floats(0.1, 30)), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_whatever_it_sees(config, looks):
    """Bounds; one down at a time, none below the window's peak, none before the window was watched; steps; a reason for each."""
    state, target, now, came = State(), max(1, config.min_replicas), 0.0, 0.0
    peaks: list[tuple[float, float]] = []
    for (readings, requests, tokens, oldest, arrived), seconds in looks:
        now, came = now + seconds, came + arrived
        seen = Observation(tuple(readings), target, requests, Work(tokens, tokens), oldest, Work(came, came))
        before = replace(state)
        decision = decide(seen, state, now, config)
        again = decide(seen, before, now, config)
        assert again == decision, "a pure function"
        assert config.min_replicas <= decision.target <= config.max_replicas
        assert math.isfinite(decision.needed)
        assert decision.needed >= 0
        assert {reason.partition(": ")[0] for reason in decision.reasons} <= set(REASONS)
        assert decision.reasons
        width = window(config, startup(decision.state, config))
        peaks = [(until, needed) for until, needed in peaks if until > now] + [(now + width, decision.needed)]
        if decision.target < target:
            assert target - decision.target == 1
            if decision.target:
                assert now - decision.state.since >= width
                peak = max(needed for _, needed in peaks)
                assert decision.target >= min(math.ceil(peak - TOLERANCE), config.max_replicas)
            else:
                assert not requests
        if decision.target > target and now >= decision.state.panic_until:
            assert decision.target - target <= config.max_step or target < config.min_replicas
        state, target = decision.state, decision.target

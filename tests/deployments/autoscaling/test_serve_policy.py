"""The adapter in Ray Serve's own wrapper: what is read of Serve's samples, and that its smoothing does nothing to our decisions."""

import json
import random
from types import SimpleNamespace

import pytest
from ray.serve._private.common import TimeStampedValue
from ray.serve.autoscaling_policy import _apply_autoscaling_config, _apply_delay_logic, _apply_scaling_factors
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from deployments.autoscaling import measurements
from deployments.autoscaling.observation import Work
from deployments.autoscaling.serve_policy import Arrivals, ServePolicy, replicas
from deployments.engine import Engine
from deployments.preflight import resolve
from gateway.config import Config
from gateway.pool import wire
from loadtests.simulation.scaling.policies import RayServe, scaled

MODEL = {"name": "demo", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}


def config(folder, **scaling) -> Config:
    return Config.model_validate(
        {"state_dir": str(folder), "models": [MODEL | {"autoscaling": {"max_replicas": 5} | scaling}]}
    )


def outlet(*queues: wire.Queue, requests: int = 3) -> SimpleNamespace:
    load = SimpleNamespace(requests=requests, prefill_tokens=100, kv_use=0.2)
    return SimpleNamespace(load=load, speed=(0.5, 0.001, 0.01), queues=queues)


def samples(**by_replica) -> dict:
    """What Serve's controller holds after each replica told its measurements, at the given times."""
    held: dict = {}
    for replica, told in by_replica.items():
        for at, numbers in told:
            for name, value in numbers.items():
                held.setdefault(name, {}).setdefault(replica, []).append(TimeStampedValue(at, value))
    return held


def read(held: dict) -> tuple:
    return measurements.read(held, measurements.Freshness().newest(held, 0.0))


def queue(gateway: str, requests: int, came: float) -> wire.Queue:
    return wire.Queue(gateway, requests, 1.5, 10.0 * requests, 20.0 * requests, came, came)


async def test_an_engine_that_one_tenant_fills_is_full_though_its_reserve_is_free():
    """64 sequences for one tenant alone, of 80 that the engine could run."""
    made = Config.model_validate(
        {"models": [MODEL | {"engine": {"max_num_seqs": 64}}], "gateway": {"admission": {"reserve": 0.2}}}
    )
    (served,) = resolve(made, "test")
    assert served.sequences == 80
    engine = SimpleNamespace(_outlet=outlet(requests=64), _options=SimpleNamespace(served=served))
    told = await Engine.record_autoscaling_stats(engine)
    assert told["engine.requests"] == told["engine.slots"]


def test_two_gateways_told_by_different_engines_both_count():
    held = samples(
        a=[(1.0, measurements.measurements(outlet(queue("g1", 3, 100)), 64))],
        b=[(1.3, measurements.measurements(outlet(queue("g2", 4, 50)), 64))],
    )
    engines, queues = read(held)
    assert [engine.slots for engine in engines] == [64, 64]
    assert {name: reading.requests for name, reading in queues.items()} == {"g1": 3, "g2": 4}
    assert queues["g2"].waiting == Work(40.0, 80.0)


def test_a_gateway_that_changes_its_engine_counts_once_and_by_its_newest_word():
    held = samples(
        a=[(1.0, measurements.measurements(outlet(queue("g1", 9, 100)), 64))],
        b=[(1.1, measurements.measurements(outlet(queue("g1", 2, 160)), 64))],
    )
    _, queues = read(held)
    assert queues["g1"].requests == 2


def test_a_gateway_that_is_gone_is_forgotten_though_serve_keeps_its_samples():
    told = [
        (1.0, measurements.measurements(outlet(queue("g1", 9, 100)), 64)),
        (2.0, measurements.measurements(outlet(), 64)),
    ]
    engines, queues = read(samples(a=told))
    assert len(engines) == 1
    assert queues == {}


def test_an_engine_that_tells_nothing_any_more_counts_no_more_nor_does_the_queue_that_it_was_told():
    silent = [(100.0, measurements.measurements(outlet(queue("g1", 9, 100)), 64))]
    fresh, there = measurements.Freshness(), []
    for now in range(0, 20, 2):
        held = samples(a=silent, b=[(100.0 + now, measurements.measurements(outlet(), 64))])
        engines, queues = measurements.read(held, fresh.newest(held, float(now)))
        there.append((len(engines), len(queues)))
    assert there == [(2, 1)] * 6 + [(1, 0)] * 4


@pytest.mark.parametrize("apart", [-3600.0, -11.0, 3600.0])
def test_an_engine_whose_host_has_another_time_counts_as_long_as_it_tells_something_new(apart, tmp_path):
    made = config(tmp_path)
    policy = ServePolicy("demo", made.models[0].autoscaling.model_dump(), str(tmp_path), clock=lambda: now)
    for now in range(30):
        told = [(1.7e9 + now + apart, measurements.measurements(outlet(queue("g", 2, 9.0 * now)), 64))]
        policy(SimpleNamespace(current_time=1.7e9 + now, raw_metrics=samples(a=told), target_num_replicas=1))
    record = json.loads((tmp_path / "demo.json").read_text())
    assert record["ready"] == 1


def test_arrivals_only_grow_whichever_gateways_come_and_go():
    arrivals = Arrivals()
    assert arrivals.total({"g1": Work(1000.0, 1000.0)}, 1.0) == Work(0.0, 0.0), "what came before nobody looked"
    assert arrivals.total({"g1": Work(1100.0, 1000.0)}, 2.0) == Work(100.0, 0.0)
    assert arrivals.total({}, 3.0) == Work(100.0, 0.0)
    assert arrivals.total({"g1": Work(1150.0, 1000.0), "g2": Work(7.0, 7.0)}, 4.0) == Work(150.0, 0.0)


def test_what_a_gateway_tells_after_a_silence_came_in_all_of_it_and_while_all_sleep_nobody_is_silent():
    arrivals = Arrivals()
    arrivals.total({"g1": Work(0.0, 0.0), "g2": Work(0.0, 0.0)}, 10.0)
    assert arrivals.total({}, 1000.0) == Work(0.0, 0.0)
    assert arrivals.total({"g1": Work(60.0, 0.0)}, 1060.0) == Work(60.0, 0.0)
    assert arrivals.total({"g1": Work(61.0, 0.0), "g2": Work(122.0, 0.0)}, 1061.0) == Work(63.0, 0.0)


def context(given: AutoscalingConfig, held: dict, ready: int, target: int, now: float, requests: float = 0.0):
    return AutoscalingContext(
        deployment_id=None,
        deployment_name="Engine-demo",
        app_name="sluice",
        current_num_replicas=ready,
        target_num_replicas=target,
        running_replicas=[],
        total_num_requests=requests,
        total_queued_requests=requests,
        aggregated_metrics={},
        raw_metrics=held,
        capacity_adjusted_min_replicas=given.min_replicas,
        capacity_adjusted_max_replicas=given.max_replicas,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=now,
        config=given,
    )


@pytest.fixture
def served(tmp_path):
    """Serve's own configuration, and our policy as Serve makes and wraps it; its clock goes as Serve's does."""
    made = config(tmp_path, min_replicas=0, stabilization_s=5, down_cooldown_s=0, startup_s=5)
    given = AutoscalingConfig.model_validate(replicas(made.models[0], made)["autoscaling_config"])
    assert isinstance(given.policy, AutoscalingPolicy)
    times = [0.0]
    policy = _apply_autoscaling_config(given.policy.get_policy()(**given.policy.policy_kwargs, clock=lambda: times[-1]))

    def asked(ctx: AutoscalingContext) -> tuple[int, dict]:
        times.append(ctx.current_time)
        return policy(ctx)

    return given, asked, made.autoscaling_folder / "demo.json"


def test_a_full_gateway_queue_with_short_engine_queues_scales_up_at_once_and_says_why(served, caplog):
    given, policy, record = served
    target = 1
    for second in range(20):
        held = samples(a=[(100.0 + second, measurements.measurements(outlet(queue("g", 0, 5.0 * second)), 64))])
        target, _ = policy(context(given, held, 1, target, 100.0 + second))
    assert target == 1
    with caplog.at_level("INFO", "ray.serve"):
        held = samples(a=[(120.0, measurements.measurements(outlet(queue("g", 400, 9000.0), requests=1), 64))])
        target, _ = policy(context(given, held, 1, 1, 120.0))
    assert target > 1
    assert "backlog: " in caplog.text
    told = json.loads(record.read_text())
    assert (told["target"], told["changes"][-1]["from"], told["startup_s"]) == (target, 1, 5)
    assert any("backlog" in reason for reason in told["changes"][-1]["reasons"])


def test_busy_engines_with_no_request_that_serve_could_see_are_kept(served):
    given, policy, _ = served
    target = 2
    for second in range(200):
        told = measurements.measurements(outlet(requests=60), 64) | {"engine.use": 0.7}
        held = samples(a=[(float(second), told)], b=[(float(second), told)])
        target, _ = policy(context(given, held, 2, target, 1000.0 + second, requests=0.0))
        assert target == 2


def test_down_to_zero_and_up_by_the_call_that_waits_which_is_told_too(served, caplog):
    given, policy, record = served
    settings = given.model_copy()
    target, now = 1, 1000.0
    for _ in range(400):
        now += 1
        held = samples(a=[(now, measurements.measurements(outlet(requests=0), 64) | {"engine.use": 0.0})])
        target, _ = policy(context(settings, held, 1, target, now))
        if target == 0:
            break
    assert target == 0
    assert policy(context(settings, {}, 0, 0, now + 5))[0] == 0
    assert policy(context(settings, {}, 0, 0, now + 10, requests=1.0))[0] == 1
    with caplog.at_level("INFO", "ray.serve"):
        assert policy(context(settings, {}, 1, 1, now + 22))[0] == 1
    assert "0 -> 1 replicas: woken: Serve started it" in caplog.text
    told = json.loads(record.read_text())
    assert [(change["from"], change["to"]) for change in told["changes"]] == [(1, 0), (0, 1)]
    assert told["decisions"] == {"up": 1, "down": 1}


def woken(folder, load: float, *, work_there: float, told_first: tuple[str, ...]) -> int:
    """Replicas asked for once a model has told of a minute's work that waited for it to wake: of `told_first` a turn before all."""
    made = config(folder, min_replicas=0, max_replicas=32, startup_s=60, idle_s=5)
    policy = ServePolicy("demo", made.models[0].autoscaling.model_dump(), str(folder), clock=lambda: now)
    now, came, target = 1000.0, 0.0, 1

    def ask(waiting: float, use: float, gateways: tuple[str, ...] = ("g1", "g2")) -> int:
        requests, oldest_s = (15, 60.0) if waiting else (0, 0.0)
        queues = [wire.Queue(name, requests, oldest_s, 0.0, waiting / 2, 0.0, came / 2) for name in gateways]
        numbers = measurements.measurements(outlet(*queues, requests=int(10 * use)), 64) | {"engine.use": use}
        held = samples(a=[(now, numbers)]) if gateways else {}
        return policy(SimpleNamespace(current_time=now, raw_metrics=held, target_num_replicas=target))[0]

    for _ in range(200):
        now, came = now + 1, came + load / 0.01
        target = ask(0.0, load)
    while target:
        now += 1
        target = ask(0.0, 0.0)
    now += 1
    assert ask(0.0, 0.0, ()) == 0
    now, came, target = now + 60, came + 60 * load / 0.01, 1
    assert ask(0.0, 0.0, ()) == 1, "it is there, and has told nothing"
    for gateways in (told_first, ("g1", "g2")):
        now += 1
        target = ask(60 * load / 0.01, work_there, gateways)
    return target


@pytest.mark.parametrize("told_first", [("g1", "g2"), ("g1",)], ids=["together", "one after the other"])
@pytest.mark.parametrize(("load", "use", "needed"), [(0.3, 0.0, 1), (0.5, 0.0, 1), (0.8, 1.0, 2)])
def test_what_came_while_no_engine_told_anything_came_in_all_of_that_time(load, use, needed, told_first, tmp_path):
    """A minute of one engine's work or less waits when the first one serves: that is no load of a minute's work a second."""
    assert woken(tmp_path, load, work_there=use, told_first=told_first) == needed


def test_a_start_once_measured_is_known_to_the_next_policy_and_the_first_is_measured(tmp_path):
    made = config(tmp_path, startup_s=None, min_replicas=2)

    def look(policy: ServePolicy, second: int, *engines: str) -> float:
        nonlocal now
        now += 1
        told = {name: [(now, measurements.measurements(outlet(queue("g", 0, 1.0)), 64))] for name in engines}
        policy(SimpleNamespace(current_time=now, raw_metrics=samples(**told), target_num_replicas=2))
        return json.loads((tmp_path / "demo.json").read_text())["startup_s"]

    now = 1000.0
    for begun in range(2):
        policy = ServePolicy("demo", made.models[0].autoscaling.model_dump(), str(tmp_path), clock=lambda: now)
        for second in range(0 if begun else 180):
            assert look(policy, second) == 60
        looks = [look(policy, second) for second in range(3)] if begun else []
        looks += [look(policy, second, "a", "b") for second in range(3)]
        assert looks[-1] == pytest.approx(180, abs=1), (
            "also where its engines are there and are heard of a moment later"
        )
        assert set(looks) == {looks[-1]} or not begun


def test_a_wall_clock_that_is_set_back_keeps_nothing_from_being_added(tmp_path):
    made = config(tmp_path, min_replicas=1, startup_s=5, panic_s=600, max_step=1)
    policy = ServePolicy("demo", made.models[0].autoscaling.model_dump(), str(tmp_path), clock=lambda: now)
    targets, now, date = [1], 500.0, 1.7e9
    for second in range(6):
        now, date = now + 1, date + 1 if second != 3 else date - 60
        told = [(date, measurements.measurements(outlet(queue("g", 900 if second else 0, 5e4)), 64))]
        ctx = SimpleNamespace(current_time=date, raw_metrics=samples(a=told), target_num_replicas=targets[-1])
        targets.append(policy(ctx)[0])
    assert targets == [1, 1, 2, 3, 4, 5, 5]


@pytest.mark.parametrize(("kept_s", "warned"), [(20.0, 1), (30.0, 0), (None, 0)])
def test_a_window_shorter_than_a_start_is_warned_of_once(kept_s, warned, tmp_path, caplog):
    made = config(tmp_path, startup_s=30, stabilization_s=kept_s)
    policy = ServePolicy("demo", made.models[0].autoscaling.model_dump(), str(tmp_path), clock=lambda: now)
    for now in range(3):
        policy(SimpleNamespace(current_time=now, raw_metrics={}, target_num_replicas=1))
    assert len(caplog.records) == warned


def test_a_number_of_replicas_is_told_to_serve_as_it_is(tmp_path):
    made = Config.model_validate({"state_dir": str(tmp_path), "models": [MODEL | {"replicas": 3}]})
    assert replicas(made.models[0], made) == {"num_replicas": 3}
    assert ServePolicy.__module__ == "deployments.autoscaling.serve_policy"


def test_the_simulated_default_of_ray_serve_decides_as_the_real_one():
    rng = random.Random(3)
    for _ in range(20):
        up, down = rng.choice([0.0, 5.0, 30.0]), rng.choice([10.0, 60.0])
        real = AutoscalingConfig(min_replicas=1, max_replicas=50, upscale_delay_s=up, downscale_delay_s=down)
        ours, state, target = RayServe(up_s=up, down_s=down), {}, 4
        for second in range(200):
            wish = max(1, round(4 + 4 * rng.random() * (1 if second // 40 % 2 else -1)))
            expected, state = _apply_delay_logic(wish, target, real, state, _now=1000.0 + second)
            assert ours._delayed(wish, target, 1000.0 + second) == expected
            target = expected
    for _ in range(300):
        desired, current, factor = rng.uniform(0, 20), rng.randint(1, 12), rng.choice([0.3, 1.0, 2.0])
        config_ = AutoscalingConfig(max_replicas=50, upscaling_factor=factor, downscaling_factor=factor)
        assert scaled(desired, current, factor, factor) == _apply_scaling_factors(desired, current, config_)

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
from gateway.config import Config
from gateway.pool import wire
from loadtests.simulation.scaling.policies import RayServe, scaled


def config(folder, **scaling) -> Config:
    model = {"name": "demo", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}
    return Config.model_validate(
        {"state_dir": str(folder), "models": [model | {"autoscaling": {"max_replicas": 5} | scaling}]}
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


def queue(gateway: str, requests: int, came: float) -> wire.Queue:
    return wire.Queue(gateway, requests, 1.5, 10.0 * requests, 20.0 * requests, came, came)


def test_two_gateways_told_by_different_engines_both_count():
    held = samples(
        a=[(1.0, measurements.measurements(outlet(queue("g1", 3, 100)), 64))],
        b=[(1.3, measurements.measurements(outlet(queue("g2", 4, 50)), 64))],
    )
    engines, queues = measurements.read(held, 2.0)
    assert [engine.slots for engine in engines] == [64, 64]
    assert {name: reading.requests for name, reading in queues.items()} == {"g1": 3, "g2": 4}
    assert queues["g2"].waiting == Work(40.0, 80.0)


def test_a_gateway_that_changes_its_engine_counts_once_and_by_its_newest_word():
    held = samples(
        a=[(1.0, measurements.measurements(outlet(queue("g1", 9, 100)), 64))],
        b=[(1.1, measurements.measurements(outlet(queue("g1", 2, 160)), 64))],
    )
    _, queues = measurements.read(held, 2.0)
    assert queues["g1"].requests == 2


def test_a_gateway_that_is_gone_is_forgotten_though_serve_keeps_its_samples():
    told = [
        (1.0, measurements.measurements(outlet(queue("g1", 9, 100)), 64)),
        (2.0, measurements.measurements(outlet(), 64)),
    ]
    engines, queues = measurements.read(samples(a=told), 2.5)
    assert len(engines) == 1
    assert queues == {}


def test_an_engine_that_tells_nothing_any_more_counts_no_more_nor_does_the_queue_that_it_was_told():
    held = samples(
        a=[(100.0, measurements.measurements(outlet(queue("g1", 9, 100)), 64))],
        b=[(105.0, measurements.measurements(outlet(), 64))],
    )
    engines, queues = measurements.read(held, 109.0)
    assert (len(engines), list(queues)) == (2, ["g1"])
    engines, queues = measurements.read(held, 111.0)
    assert (len(engines), queues) == (1, {})


def test_arrivals_only_grow_whichever_gateways_come_and_go():
    arrivals = Arrivals()
    assert arrivals.total({"g1": Work(1000.0, 1000.0)}) == Work(0.0, 0.0), "what came before nobody looked"
    assert arrivals.total({"g1": Work(1100.0, 1000.0)}) == Work(100.0, 0.0)
    assert arrivals.total({}) == Work(100.0, 0.0)
    assert arrivals.total({"g1": Work(1150.0, 1000.0), "g2": Work(7.0, 7.0)}) == Work(150.0, 0.0)


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
    """Serve's own configuration, and our policy as Serve makes and wraps it."""
    made = config(tmp_path, min_replicas=0, stabilization_s=5, down_cooldown_s=0, startup_s=5)
    given = AutoscalingConfig.model_validate(replicas(made.models[0], made)["autoscaling_config"])
    assert isinstance(given.policy, AutoscalingPolicy)
    policy = given.policy.get_policy()(**given.policy.policy_kwargs)
    return given, _apply_autoscaling_config(policy), made.autoscaling_folder / "demo.json"


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
    assert "s of backlog" in caplog.text
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
    assert "0 -> 1 replicas: Serve started it" in caplog.text
    told = json.loads(record.read_text())
    assert [(change["from"], change["to"]) for change in told["changes"]] == [(1, 0), (0, 1)]
    assert told["decisions"] == {"up": 1, "down": 1}


def test_a_number_of_replicas_is_told_to_serve_as_it_is(tmp_path):
    model = {"name": "demo", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}, "replicas": 3}
    made = Config.model_validate({"state_dir": str(tmp_path), "models": [model]})
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

"""What Ray is told of a gateway's metrics."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from deployments.ray_metrics import RayMirror


class Ray:
    """Takes what Ray's gauges would, and refuses what they would."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}

    def gauge(self, name: str, tag_keys: tuple[str, ...]) -> Any:
        ray = self

        class One:
            def set(self, value: float, tags: dict[str, str]) -> None:
                assert set(tags) == set(tag_keys), name
                ray.values[name, tuple(sorted(tags.items()))] = value

        return One()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def shown(registry: CollectorRegistry) -> dict[Any, float]:
    ray = Ray()
    mirror = RayMirror(registry, ray.gauge)
    mirror.show(mirror.read())
    return ray.values


def test_every_sample_is_told_by_its_own_name(registry: CollectorRegistry) -> None:
    Counter("sluice_things", "Things.", ["model"], registry=registry).labels("m").inc(3)
    Histogram("sluice_waits_seconds", "Waits.", buckets=(1, 2), registry=registry).observe(1.5)
    values = shown(registry)
    assert values["sluice_things_total", (("model", "m"),)] == 3
    assert values["sluice_waits_seconds_bucket", (("le", "1.0"),)] == 0
    assert values["sluice_waits_seconds_bucket", (("le", "2.0"),)] == 1
    assert values["sluice_waits_seconds_sum", ()] == 1.5


def test_rays_panels_of_language_models_find_their_names(registry: CollectorRegistry) -> None:
    ended = Counter("sluice_inference_requests", "Ended.", ["model", "outcome"], registry=registry)
    ended.labels("m", "ok").inc(2)
    ended.labels("m", "error").inc(5)
    values = shown(registry)
    told = [(labels, value) for (name, labels), value in values.items() if name == "vllm_request_success_total"]
    assert told == [((("model_name", "m"), ("outcome", "ok")), 2)]


def test_a_figure_may_have_two_names_there(registry: CollectorRegistry) -> None:
    Counter("sluice_prompt_tokens", "Tokens.", ["model"], registry=registry).labels("m").inc(7)
    told = {name: value for (name, labels), value in shown(registry).items() if ("model_name", "m") in labels}
    assert told == {"vllm_prompt_tokens_total": 7, "vllm_request_prompt_tokens_sum": 7}


def test_rays_panels_of_engines_find_theirs(registry: CollectorRegistry) -> None:
    requests = Gauge("sluice_engine_requests", "Requests.", ["model", "engine", "state"], registry=registry)
    requests.labels("m", "e", "waiting").set(4)
    Gauge("sluice_engine_kv_use_ratio", "Use.", ["model", "engine"], registry=registry).labels("m", "e").set(0.5)
    told = {name: value for (name, labels), value in shown(registry).items() if ("model_name", "m") in labels}
    assert told == {"vllm_num_requests_waiting": 4, "vllm_kv_cache_usage_perc": 0.5}


def test_what_is_gone_is_told_as_nothing(registry: CollectorRegistry) -> None:
    gauge = Gauge("sluice_engine_kv_use_ratio", "Use.", ["engine"], registry=registry)
    gauge.labels("a").set(0.5)
    ray = Ray()
    mirror = RayMirror(registry, ray.gauge)
    mirror.show(mirror.read())
    gauge.remove("a")
    gauge.labels("b").set(0.25)
    mirror.show(mirror.read())
    told = {labels[0][1]: value for (_, labels), value in ray.values.items()}
    assert told == {"0": 0.25}, "and its place is another's"
    gauge.remove("b")
    mirror.show(mirror.read())
    assert set(ray.values.values()) == {0}


def test_engines_that_come_and_go_for_weeks_leave_no_more_series_than_there_were_at_once(
    registry: CollectorRegistry,
) -> None:
    gauge = Gauge("sluice_engine_kv_use_ratio", "Use.", ["model", "engine"], registry=registry)
    ray = Ray()
    mirror = RayMirror(registry, ray.gauge)
    gauge.labels("m", "stays").set(0.75)
    for number in range(50):
        gauge.labels("m", f"engine-{number}").set(0.5)
        mirror.show(mirror.read())
        gauge.remove("m", f"engine-{number}")
    told = {labels: value for (name, labels), value in ray.values.items() if name == "sluice_engine_kv_use_ratio"}
    assert sorted(told.values()) == [0.5, 0.75]

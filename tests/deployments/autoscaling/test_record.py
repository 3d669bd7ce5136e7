"""The file of each model: its own, whatever its name, and gone once nobody scales the model."""

import pytest
from prometheus_client import CollectorRegistry

from deployments.autoscaling.observation import Decision, EngineReading, Observation, State
from deployments.autoscaling.record import Record, keep
from gateway.telemetry import scaling_metrics


def note(folder, model: str, target: int) -> None:
    seen = Observation((EngineReading(1, 4),), target)
    Record(str(folder), model).note(1000.0, seen, Decision(target, State(), ("because",), 1.0, 0.0, 10.0))


def test_names_that_differ_in_punctuation_only_do_not_share_a_file(tmp_path):
    for target, model in enumerate(("a/b", "a-b", "a.b", "../b", "%2F")):
        note(tmp_path, model, target)
    told = scaling_metrics.read(tmp_path)
    assert {model: record["target"] for model, record in told.items()} == {
        "a/b": 0,
        "a-b": 1,
        "a.b": 2,
        "../b": 3,
        "%2F": 4,
    }


def test_the_reasons_of_changes_and_of_what_stays_are_counted_by_kind(tmp_path):
    record = Record(str(tmp_path), "m")
    for at in range(3):
        seen = Observation((EngineReading(1, 4),), 2)
        stays = Decision(2, State(), ("forecast: work for 2", "max_replicas: 4 would be needed"), 4.0, 0.0, 10.0)
        record.note(1000.0 + 10 * at, seen, stays)
    reasons = ("backlog: 9 s of it", "more: 1")
    record.changed(1040.0, 2, 3, reasons)
    record.note(1040.0, Observation((EngineReading(1, 4),), 2), Decision(3, State(), reasons, 3.0, 9.0, 10.0))
    registry = CollectorRegistry()
    scaling_metrics.ScalingMetrics(registry, tmp_path, frozenset({"m"}))
    name = "sluice_autoscaling_reasons_total"
    for direction, reason, times in (("none", "max_replicas", 3), ("up", "backlog", 1), ("up", "forecast", None)):
        labels = {"model": "m", "direction": direction, "reason": reason}
        assert registry.get_sample_value(name, labels) == times


def test_of_a_model_that_is_not_scaled_any_more_nothing_is_told(tmp_path):
    note(tmp_path, "org/scaled", 3)
    note(tmp_path, "fixed", 5)
    keep(tmp_path, ["org/scaled", "never asked for"])
    assert list(scaling_metrics.read(tmp_path)) == ["org/scaled"]
    keep(tmp_path / "not there", [])


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"measured_startup_s": null}', '{"measured_startup_s": "soon"}'])
def test_a_file_that_tells_no_start_is_still_one(content, tmp_path):
    record = Record(str(tmp_path), "m")
    assert (record.is_first, record.measured_startup_s()) == (True, None)
    (tmp_path / "m.json").write_text(content)
    assert (record.is_first, record.measured_startup_s()) == (False, None)

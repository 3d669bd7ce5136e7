"""The file of each model: its own, whatever its name, and gone once nobody scales the model."""

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


def test_of_a_model_that_is_not_scaled_any_more_nothing_is_told(tmp_path):
    note(tmp_path, "org/scaled", 3)
    note(tmp_path, "fixed", 5)
    keep(tmp_path, ["org/scaled", "never asked for"])
    assert list(scaling_metrics.read(tmp_path)) == ["org/scaled"]
    keep(tmp_path / "not there", [])

"""`python -m loadtests.suite`: what a run must have measured, what becomes a baseline, and what it serves."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from gateway.config import load
from loadtests.drive import ROOT
from loadtests.suite import __main__ as command
from loadtests.suite.gate import Figures, read_objectives
from loadtests.suite.presets import PRESETS, SLO
from loadtests.suite.session import Finding
from tests.loadtests.suite.test_report import made

LOCAL = ROOT / "configs" / "local.yaml"


def test_every_objective_must_be_measured_but_tool_calls_where_no_agent_takes_part():
    objectives = read_objectives(SLO)
    everything = set(objectives.objectives)
    needed = {name: command.required(objectives, PRESETS[name]) for name in ("mixed", "soak", "ramp", "trace")}
    without = everything - {"tool_calls"}
    assert needed == {"mixed": everything, "soak": everything, "ramp": without, "trace": without}


def test_only_a_run_that_met_everything_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "html", lambda *_: "")
    results, run, samples = made(90)
    met = msgspec.structs.replace(results, faults=[], verdicts=[])
    arguments = command.parser().parse_args(["--save", "--out", str(tmp_path / "out")])
    finding = Finding(run, samples, Figures({}), [])
    assert not command.publish(arguments, results, finding)
    assert not (tmp_path / "results").exists()
    assert (tmp_path / "out" / "report.html").exists()
    assert not command.publish(command.parser().parse_args(["--out", str(tmp_path / "out")]), met, finding)
    assert command.publish(arguments, met, finding)
    assert len(list((tmp_path / "results").glob("suite-mixed-*.json"))) == 1


def test_a_tree_that_differs_from_its_commit_is_no_baseline(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(command, "commit", lambda: "abc123+")
    monkeypatch.setattr(sys, "argv", ["suite", "--save"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert "--save: the working tree differs" in capsys.readouterr().err


def test_a_trace_that_cannot_be_read_is_refused_before_anything_starts(tmp_path: Path, capsys):
    with pytest.raises(SystemExit) as ended:
        command.parser().parse_args(["trace", "--trace", str(tmp_path / "none.csv")])
    assert ended.value.code == 2
    assert "--trace: " in (said := capsys.readouterr().err)
    assert "none.csv" in said


@pytest.mark.parametrize("error", [KeyboardInterrupt, subprocess.CalledProcessError(1, "keys")])
def test_a_sluice_whose_keys_could_not_be_made_is_stopped(error, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Started:
        model, key, stopped = "demo", "sk", False

        def stop(self) -> None:
            self.stopped = True

    started = Started()

    def start(base: Path, folder: Path, **_: object) -> Started:
        folder.mkdir()
        shutil.copy(base, folder / "sluice.yaml")
        return started

    def no_key(*_: object) -> str:
        raise error

    monkeypatch.setattr(command, "start_sluice", start)
    monkeypatch.setattr(command, "_key", no_key)
    with pytest.raises(error if isinstance(error, type) else type(error)):
        command.start(LOCAL, tmp_path)
    assert started.stopped


def test_what_is_served_has_a_tier_for_who_asks_too_much_and_a_budget_for_everybody(tmp_path: Path):
    raw = command.prepared(yaml.safe_load(LOCAL.read_text()))
    (tmp_path / "sluice.yaml").write_text(yaml.safe_dump(raw))
    config = load(tmp_path / "sluice.yaml")
    assert config.gateway.admission.tiers["metered"].key_concurrency == 2
    assert config.limits.default.tokens[0].limit >= 10**12
    assert command.served(config.model_dump(mode="json"), "cpu") == "sluice-demo (demo:int8, int8-w8a8)"
    own = {"limits": {"default": {"tokens": [{"scope": "tenant", "limit": 5, "per": "hour"}]}}}
    assert command.prepared(own)["limits"] == own["limits"], "budgets of the configuration itself stay"

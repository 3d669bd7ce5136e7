"""Objectives: read strictly, judged by bounds and by ratios to a baseline."""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from loadtests.drive import ROOT
from loadtests.suite.gate import NAMES, Figures, ObjectivesError, judge, read_objectives
from loadtests.suite.presets import SLO, SLO_OF
from loadtests.suite.results import last, passed_over, placeless

TEXT = """
good: {ttft_ms: 100, inter_token_ms: 20}
objectives:
  ttft_p99_ms: {at_most: 200, baseline_ratio: 1.5}
  goodput: {at_least: 0.9, baseline_ratio: 0.95}
  memory_growth_mib: {at_most: 10}
"""
VALUES = {"ttft_p99_ms": 100.0, "goodput": 0.95, "error_rate": 0.0}
CALIBRATION_MS = 2.0
RESULTS = ROOT / "loadtests" / "results"


def objectives(folder: Path, text: str = TEXT):
    (folder / "slo.yaml").write_text(text)
    return read_objectives(folder / "slo.yaml")


def words(folder: Path, baseline: Figures | None = None, required=(), **values: float) -> dict[str, str]:
    found = judge(objectives(folder), Figures(VALUES | values, CALIBRATION_MS), baseline, required)
    assert all(verdict.met == (not verdict.line().startswith("FAIL")) for verdict in found)
    return {verdict.name: verdict.line()[:4] for verdict in found}


@pytest.mark.parametrize("file", [SLO, *SLO_OF.values()])
def test_the_committed_objectives_can_be_read_and_name_all_there_are(file: Path):
    assert set(read_objectives(file).objectives) == set(NAMES)


def test_bounds_are_held_and_what_was_not_measured_is_skipped(tmp_path):
    assert words(tmp_path) == {"ttft_p99_ms": "PASS", "goodput": "PASS", "memory_growth_mib": "SKIP"}
    assert words(tmp_path, required={"memory_growth_mib"})["memory_growth_mib"] == "FAIL"
    assert words(tmp_path, ttft_p99_ms=201.0)["ttft_p99_ms"] == "FAIL"
    assert words(tmp_path, ttft_p99_ms=math.nan)["ttft_p99_ms"] == "FAIL"
    assert words(tmp_path, goodput=0.89)["goodput"] == "FAIL"
    assert words(tmp_path, memory_growth_mib=11.0)["memory_growth_mib"] == "FAIL"


def test_a_figure_is_held_against_the_baseline_as_if_both_machines_were_equally_fast(tmp_path):
    """Twice the milliseconds on a machine that is half as fast is no regression."""
    for calibration_ms, word in ((1.0, "PASS"), (2.0, "FAIL")):
        assert words(tmp_path, Figures({"ttft_p99_ms": 50.0}, calibration_ms))["ttft_p99_ms"] == word
    assert words(tmp_path, Figures({"ttft_p99_ms": 1.0}))["ttft_p99_ms"] == "PASS", "of no known machine"
    assert words(tmp_path, Figures({"goodput": 1.0}))["goodput"] == "PASS"
    assert words(tmp_path, Figures({"goodput": 1.0}), goodput=0.91)["goodput"] == "FAIL"
    now, then = Figures({"throughput": 300.0}, 2.0), Figures({"throughput": 600.0}, 1.0)
    assert (now.ratio_to(then, "throughput"), then.ratio_to(now, "throughput")) == (1.0, 1.0)


MIXED = Figures(
    {
        "ttft_p99_ms": 40.7, "inter_token_p99_ms": 13.6, "unloaded_ttft_ms": 9.1, "unloaded_inter_token_ms": 3.2,
        "throughput": 1900.0, "error_rate": 0.0, "goodput": 0.9994, "tool_calls": 1.0, "lag_p99_ms": 2.3, "memory_growth_mib": 18.7,
    },
    1.5,
)  # fmt: skip
"""What a mixed run measures on two cores."""


def failing(**changed: float) -> set[str]:
    now = Figures(MIXED.values | changed, MIXED.calibration_ms)
    return {verdict.name for verdict in judge(read_objectives(SLO), now, MIXED, NAMES) if not verdict.met}


def test_a_release_that_is_slower_in_everything_fails_and_one_that_is_quicker_alone_does_not():
    """300 ms more on each first token, five times the time between tokens, a fifth of the throughput."""
    slow = {name: MIXED.values[name] + 300 for name in ("ttft_p99_ms", "unloaded_ttft_ms")}
    slow |= {name: MIXED.values[name] * 5 for name in ("inter_token_p99_ms", "unloaded_inter_token_ms")}
    slow["throughput"] = MIXED.values["throughput"] / 5
    assert failing() == set()
    assert failing(**slow) == set(slow)
    assert failing(unloaded_ttft_ms=6.0) == failing(throughput=4000.0) == set()


def test_a_line_tells_value_bound_and_ratio(tmp_path):
    (first, *_) = judge(objectives(tmp_path), Figures(VALUES, 2.0), Figures({"ttft_p99_ms": 80.0}, 2.0))
    assert first.line().split() == "PASS ttft_p99_ms 100 <= 200 1.25 of the baseline's 80 <= 1.5".split()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT.replace("goodput:", "good_put:"), "good_put: unknown"),
        (TEXT.replace("at_most: 10", "at_most: 10, at_least: 3"), "either"),
        (TEXT.replace("at_most: 10", "most: 10"), "most"),
        (TEXT.replace("ttft_ms: 100, ", ""), "ttft_ms"),
    ],
)
def test_objectives_that_cannot_be_understood_are_refused(tmp_path, text, said):
    with pytest.raises(ObjectivesError, match=said):
        objectives(tmp_path, text)


LIKE = {
    "options": {"users": 24},
    "model": "m",
    "accelerator": "cpu",
    "cores": 2,
    "configuration": {"gateway": {"replicas": 1}},
}


def test_the_newest_result_of_the_same_suite_options_model_and_machine_is_the_baseline(tmp_path):
    assert last(tmp_path, "mixed", LIKE) is None
    for place, (suite, other) in enumerate(
        [("mixed", {}), ("mixed", {}), ("soak", {}), ("mixed", {"options": {"users": 1}}), ("mixed", {"model": "n"}),
         ("mixed", {"accelerator": "cuda"}), ("mixed", {"cores": 4}), ("mixed", {"configuration": {"gateway": {"replicas": 2}}})]
    ):  # fmt: skip
        figures = Figures({"goodput": place, "ttft_p99_ms": math.nan}, 1.5)
        content = {"schema": 3, "figures": figures} | LIKE | other
        (tmp_path / f"suite-{suite}-2026-0{place + 1}-01-000000.json").write_bytes(msgspec.json.encode(content))
    assert last(tmp_path, "mixed", LIKE) == ("suite-mixed-2026-02-01-000000.json", Figures({"goodput": 1}, 1.5))


def test_a_baseline_of_more_cores_or_of_none_that_it_tells_is_not_compared_and_that_is_said(tmp_path):
    """More cores make throughput better and latency lower, and so hide a slower Sluice."""

    def said(month: int, content: Mapping[str, object]) -> list[str]:
        (tmp_path / f"suite-mixed-2026-0{month}.json").write_bytes(msgspec.json.encode(content))
        return passed_over(tmp_path, "mixed", LIKE)

    untold = {name: value for name, value in LIKE.items() if name not in ("cores", "configuration")}
    assert passed_over(tmp_path, "mixed", LIKE) == said(1, LIKE) == []
    assert said(2, LIKE | {"cores": 4}) == [
        "not compared with suite-mixed-2026-02.json: another value of cores, or none"
    ]
    assert said(3, untold) == [
        "not compared with suite-mixed-2026-03.json: another value of cores, configuration, or none"
    ]


def test_where_a_configuration_lies_and_listens_is_no_part_of_what_it_says():
    def config(port: int, folder: str, replicas: int = 1) -> dict[str, object]:
        models = [{"name": "m", "checkpoints": {"cpu": {"source": folder}}, "replicas": replicas}]
        places = {
            "state_dir": folder,
            "ray": {"dashboard_port": port},
            "gateway": {"listen": {"port": port, "host": "h"}},
        }
        return {"models": models} | places

    assert placeless(config(1, "/a/state")) == placeless(config(2, "~/b"))
    assert placeless(config(1, "/a")) != placeless(config(1, "/a", replicas=2))


@pytest.mark.parametrize("suite", ["mixed", "soak"])
def test_every_committed_baseline_can_be_read(suite: str):
    """Those of before the calibration have shares alone: what their machine's milliseconds are worth is not known."""
    files = list(RESULTS.glob(f"suite-{suite}-*.json"))
    assert files
    for file in files:
        read = msgspec.json.decode(file.read_bytes())
        name, figures = last(RESULTS, suite, {"started": read["started"]}) or ("", Figures({}))
        assert name == file.name
        assert figures.values["goodput"] > 0.95
        assert ("ttft_p99_ms" in figures.values) == (figures.calibration_ms is not None)

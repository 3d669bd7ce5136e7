"""Objectives: read strictly, judged by bounds and by ratios to a baseline."""

import math
from pathlib import Path

import msgspec
import pytest

from loadtests.suite.gate import NAMES, ObjectivesError, comparable, judge, read_objectives
from loadtests.suite.presets import SLO, SLO_OF
from loadtests.suite.results import last

TEXT = """
good: {ttft_ms: 100, inter_token_ms: 20}
objectives:
  ttft_p99_ms: {at_most: 200, baseline_ratio: 1.5}
  goodput: {at_least: 0.9, baseline_ratio: 0.95}
  memory_growth_mib: {at_most: 10}
"""
VALUES = {"ttft_p99_ms": 100.0, "goodput": 0.95, "error_rate": 0.0}
UNLOADED = {"ttft_p99_ms": 10.0}


def objectives(folder: Path, text: str = TEXT):
    (folder / "slo.yaml").write_text(text)
    return read_objectives(folder / "slo.yaml")


def words(folder: Path, baseline: dict[str, float] | None = None, required=(), **values: float) -> dict[str, str]:
    found = judge(objectives(folder), VALUES | values, UNLOADED, baseline, required)
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


def test_a_latency_is_held_against_the_baseline_in_multiples_of_the_unloaded_one(tmp_path):
    """Twice the milliseconds on a machine that is half as fast is no regression."""
    assert words(tmp_path, {"ttft_p99_ms": 9.0})["ttft_p99_ms"] == "PASS"
    assert words(tmp_path, {"ttft_p99_ms": 6.0})["ttft_p99_ms"] == "FAIL"
    assert words(tmp_path, {"goodput": 1.0})["goodput"] == "PASS"
    assert words(tmp_path, {"goodput": 1.0}, goodput=0.91)["goodput"] == "FAIL"
    assert comparable({"ttft_p99_ms": 100.0}, {"ttft_p99_ms": 20.0}) == {"ttft_p99_ms": 5.0}


def test_a_line_tells_value_bound_multiple_and_ratio(tmp_path):
    (first, *_) = judge(objectives(tmp_path), VALUES, UNLOADED, {"ttft_p99_ms": 8.0})
    assert first.line().split() == (
        "PASS ttft_p99_ms 100 <= 200 10.00x unloaded 1.25 of the baseline's 8 <= 1.5".split()
    )


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


def test_the_newest_result_of_the_same_suite_options_model_and_accelerator_is_the_baseline(tmp_path):
    like = {"options": {"users": 24, "minutes": 3.0}, "model": "m", "accelerator": "cpu"}
    assert last(tmp_path, "mixed", like) is None
    for place, (suite, other) in enumerate(
        [("mixed", {}), ("mixed", {}), ("soak", {}), ("mixed", {"options": {"users": 1, "minutes": 3.0}}),
         ("mixed", {"model": "n"}), ("mixed", {"accelerator": "cuda"})]
    ):  # fmt: skip
        content = {"comparable": {"goodput": place, "ttft_p99_ms": None}} | like | other
        (tmp_path / f"suite-{suite}-2026-0{place + 1}-01-000000.json").write_bytes(msgspec.json.encode(content))
    assert last(tmp_path, "mixed", like) == ("suite-mixed-2026-02-01-000000.json", {"goodput": 1})

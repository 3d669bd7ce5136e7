"""The report: one file that needs nothing else, with every picture and everything that tells where the figures come from."""

import random
import re
from xml.etree import ElementTree

import pytest

from loadtests.suite.gate import Figures, judge, read_objectives
from loadtests.suite.knee import Point
from loadtests.suite.measures import measure
from loadtests.suite.presets import SLO
from loadtests.suite.record import Outcome, Record, Run, packed
from loadtests.suite.report import html, markdown
from loadtests.suite.results import SCHEMA, Results, last, write
from loadtests.suite.sampler import Growth, Process, Sample

TITLES = (
    "Time to first token and queue time", "Inter-token latency", "Percentiles", "Throughput against concurrency", "Replicas",
    "Queue depth", "Errors, refusals and disconnects", "Anonymous memory",
)  # fmt: skip


def made(count: int) -> tuple[Results, Run, list[Sample]]:
    rng = random.Random(1)
    outcomes = [Outcome.RIGHT] * 9 + [Outcome.FAILED]
    records = [
        Record(
            at=1000.0 + place / 10, persona="chat", outcome=outcomes[place % 10], status=200, judged=True, lag_s=0.001,
            e2e_s=0.5, ttft_s=0.05, queue_s=0.0, tokens=20, gaps=packed([rng.uniform(0.005, 0.02) for _ in range(19)]),
            problem="<wrong>" if place % 10 == 9 else "",
        )
        for place in range(count)
    ]  # fmt: skip
    run = Run(1000.0, 1060.0, records)
    samples = [
        Sample(1000.0 + 2 * at, 1, at % 3, 5, 0.1, [Process(7, "gateway", 2**28, 60), Process(8, "raylet", 2**26, 9)])
        for at in range(30)
    ]
    objectives = read_objectives(SLO)
    measures = measure(records, 60.0, objectives.good)
    figures = Figures(measures.values() | {"unloaded_ttft_ms": 10.0}, 1.5)
    results = Results(
        schema=SCHEMA, suite="mixed", started="2026-01-01T00:00:00+0000", command=["python", "-m", "loadtests.suite"],
        seed=42, commit="abc123", machine={"cpu": "A & B", "cores": "2", "memory": "8 GiB", "kernel": "6.1"},
        versions={"sluice": "0.1"}, config={"models": "<demo>"}, options={}, model="demo", accelerator="cpu", cores=2,
        configuration={}, figures=figures,
        measures=measures, verdicts=judge(objectives, figures),
        memory=[Growth("gateway", 7, 256.0, 1.5)], faults=["left behind: demo: 1 streams"], notes=["trace: cut"],
        ramp=[], knee=Point(64, 900.0, 80.0), baseline=None,
    )  # fmt: skip
    return results, run, samples


@pytest.fixture(scope="module")
def page() -> str:
    return html(*made(600))


def test_the_page_stands_alone_and_is_small(page: str):
    assert not re.search(r"(src|href)=\"(?!#)", page)
    assert not re.search(
        r"https?://(?!www\.w3\.org)", re.sub(r"<!DOCTYPE[^>]*>|<metadata>.*?</metadata>", "", page, flags=re.DOTALL)
    )
    assert len(page) < 1_000_000


def test_every_picture_is_there_and_can_be_drawn(page: str):
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(pictures) == len(TITLES)
    for picture, title in zip(pictures, TITLES, strict=True):
        assert title in picture
        assert len(ElementTree.fromstring(picture).findall(".//{*}path")) > 3


def test_machine_commit_config_and_seed_are_on_it_and_foreign_words_are_escaped(page: str):
    for said in (
        "commit abc123, seed 42",
        "A &amp; B, 2 cores",
        "&lt;demo&gt;",
        "chat: &lt;wrong&gt;",
        "knee: 64 users",
    ):
        assert said in page
    assert "<wrong>" not in page


def test_the_summary_has_the_verdicts_and_the_tables():
    summary = markdown(made(100)[0])
    assert re.search(r"^FAIL  error_rate +0\.1 <= 0", summary, re.MULTILINE)
    assert "FAIL  left behind: demo: 1 streams" in summary
    assert "      trace: cut" in summary
    assert "| chat | 90 | 0 | 0 | 0 | 10 |" in summary
    assert "| gateway (7) | 256 | +1.5 |" in summary


def test_a_fault_fails_a_run_and_results_are_read_back_as_a_baseline(tmp_path):
    results, *_ = made(90)
    assert not results.met
    write(results, tmp_path / "suite-mixed-2026-01-01-000000.json")
    name, figures = last(tmp_path, "mixed", {"options": {}, "model": "demo", "accelerator": "cpu"}) or ("", None)
    assert (name, figures) == ("suite-mixed-2026-01-01-000000.json", results.figures)


def test_a_run_without_a_single_answer_has_a_report_too():
    results, run, _ = made(0)
    assert "FAIL  ttft_p99_ms" in html(results, run, [])

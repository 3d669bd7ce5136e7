"""Locust itself with the suite, against the toy server: statistics, arrivals, refusals, workers, charts, the exit status."""

import asyncio
import json
import re
import signal
import socket
import urllib.request
from pathlib import Path

import msgspec
import pytest
from playwright.async_api import expect

from loadtests.suite.record import Outcome, Record, Run
from tests.browser import browser
from tests.gateway.http.test_tls import Authority
from tests.loadtests.toy_chat import Toy
from tests.waiting import eventually

LOOSE = (
    "good: {ttft_ms: 5000, inter_token_ms: 500}\nobjectives: {error_rate: {at_most: %s}, goodput: {at_least: 0.5}}\n"
)


def log(folder: Path, name: str = "out") -> str:
    return (folder / f"{name}.log").read_text(errors="replace")


def records(folder: Path) -> list[Record]:
    return msgspec.msgpack.decode((folder / "records").read_bytes(), type=Run).records


def objectives(folder: Path, error_rate: str = "0") -> str:
    (folder / "slo.yaml").write_text(LOOSE % error_rate)
    return str(folder / "slo.yaml")


def test_a_closed_loop_has_a_statistic_for_each_metric_and_a_verdict(toy: Toy, started, tmp_path: Path):
    toy.refuse, toy.pause_s = 1, 0.001
    locust = started(
        toy, "--headless", "-u", "4", "-r", "4", "-t", "4s", "--personas", "rag,classify=1", "--think", "0.05",
        "--records", "records", "--slo", objectives(tmp_path),
    )  # fmt: skip
    assert locust.wait(60) == 0, log(tmp_path)
    said = log(tmp_path)
    for metric in ("TTFT", "ITL", "tokens/s", "queue", "e2e"):
        assert re.search(rf"^{metric}\s+rag ", said, re.MULTILINE), said
    assert re.search(r"^PASS  error_rate", said, re.MULTILINE)
    assert "sk-secret" not in said
    kept = records(tmp_path)
    assert {one.persona for one in kept} == {"rag", "classify"}
    assert [one.outcome for one in kept].count(Outcome.REFUSED) == 1
    assert all(one.tokens == 24 and one.queue_s == 0.0125 for one in kept if one.persona == "rag" and one.tokens)
    late = max(kept, key=lambda one: one.e2e_s)
    assert late.e2e_s > 0.9 > late.lag_s
    assert late.outcome is Outcome.RIGHT, (
        "who was refused came back after the second it was told, and its latency has it"
    )


def test_wrong_answers_are_failures_and_set_the_exit_status(toy: Toy, started, tmp_path: Path):
    """The toy accepts whatever an invalid request asks for."""
    locust = started(
        toy, "--headless", "-u", "2", "-r", "2", "-t", "2s", "--personas", "extractor", "--think", "0.05",
        "--slo", objectives(tmp_path),
    )  # fmt: skip
    assert locust.wait(60) == 1
    assert re.search(r"^FAIL  error_rate", log(tmp_path), re.MULTILINE)


def test_poisson_arrivals_do_not_wait_for_answers_and_count_from_the_intended_start(toy: Toy, started, tmp_path: Path):
    """Four users at 5/s each, answers that take half a second: a closed loop could not come to more than eight. By https."""
    authority = Authority(tmp_path, "authority")
    toy.secure(*authority.issue("toy"))
    toy.pause_s = 0.02
    options = ("--arrivals", "poisson", "--rate", "5", "--personas", "rag", "--records", "records", "--slo", "")
    options += ("--ca-file", str(authority.file))
    locust = started(toy, "--headless", "-u", "4", "-r", "4", "-t", "5s", *options)
    assert locust.wait(60) == 0, log(tmp_path)
    kept = records(tmp_path)
    assert len(kept) == pytest.approx(100, rel=0.3)
    assert all(one.outcome is Outcome.RIGHT and one.e2e_s >= 0.4 and one.lag_s < 1 for one in kept)


def test_a_trace_is_replayed_at_its_times_with_its_lengths(toy: Toy, started, tmp_path: Path):
    lines = [
        {"timestamp": 100 * n, "input_length": 512 * 2, "output_length": 3 + n, "hash_ids": [7, n]} for n in range(10)
    ]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = (
        "--arrivals",
        "trace",
        "--trace",
        "trace.jsonl",
        "--trace-speed",
        "2",
        "--records",
        "records",
        "--slo",
        "",
    )
    locust = started(toy, "--headless", "-u", "1", "-t", "3s", *options)
    assert locust.wait(60) == 0, log(tmp_path)
    kept = sorted(records(tmp_path), key=lambda one: one.at)
    assert [one.tokens for one in kept] == list(range(3, 13))
    assert kept[-1].at - kept[0].at == pytest.approx(0.45, abs=0.05)
    prompts = [body["messages"][0]["content"] for body in toy.asked]
    half = 0.4 * len(prompts[0])
    assert (len(set(prompts)), len({prompt[: int(half)] for prompt in prompts})) == (10, 1), "the first block is shared"


def test_two_workers_and_a_master_share_the_load_and_the_master_has_every_record(toy: Toy, two_workers, tmp_path: Path):
    """Those of streams that end more than a second after the load, too."""
    toy.pause_s = 0.07
    master, workers = two_workers(
        toy, "-u", "6", "-r", "6", "-t", "5s", "--personas", "rag", "--think", "0.1", "--records", "records",
        "--slo", objectives(tmp_path), "--stop-timeout", "20",
    )  # fmt: skip
    assert master.wait(60) == 0, log(tmp_path)
    assert [worker.wait(20) for worker in workers] == [0, 0]
    kept = records(tmp_path)
    assert len(kept) == len(toy.asked)
    assert re.search(rf"^e2e\s+rag\s+{len(kept)} ", log(tmp_path), re.MULTILINE), log(tmp_path)
    assert len({body["messages"][1]["content"] for body in toy.asked}) == len(kept), "no two workers ask the same"


def test_a_headless_load_that_was_cut_short_fails_though_every_answer_was_right(toy: Toy, started, tmp_path: Path):
    locust = started(
        toy, "--headless", "-u", "2", "-r", "2", "-t", "60s", "--personas", "rag", "--think", "0.1",
        "--slo", objectives(tmp_path),
    )  # fmt: skip
    eventually(lambda: len(toy.asked) > 2, 30, "a load")
    locust.send_signal(signal.SIGTERM)
    assert locust.wait(30) == 1, log(tmp_path)
    assert re.findall(r"^(PASS|FAIL)  (\w+ \w+ lasted|\w+)", log(tmp_path), re.MULTILINE) == [
        ("PASS", "error_rate"),
        ("PASS", "goodput"),
        ("FAIL", "the load lasted"),
    ]


def test_a_worker_that_died_is_told(toy: Toy, two_workers, tmp_path: Path):
    toy.pause_s = 0.01
    master, (dies, lives) = two_workers(
        toy, "-u", "4", "-r", "4", "-t", "60s", "--personas", "rag", "--think", "0.1", "--records", "records",
        "--slo", objectives(tmp_path), "--stop-timeout", "20",
    )  # fmt: skip
    eventually(lambda: len(toy.asked) > 8, 30, "a load")
    dies.kill()
    master.send_signal(signal.SIGTERM)
    assert master.wait(30) == 1, log(tmp_path)
    assert lives.wait(20) == 0
    assert "FAIL  1 of Locust's workers did not live through the run" in log(tmp_path)
    run = msgspec.msgpack.decode((tmp_path / "records").read_bytes(), type=Run)
    assert run.missing == 1
    assert 0 < run.load_s < 20
    assert run.turns == len(run.records) > 0


async def look(base: str) -> None:
    """In a browser: a chart for each statistic below Locust's own page, with a line in it."""
    async with browser() as chromium:
        page = await chromium.new_page()
        await page.goto(base)
        await expect(page.locator("#root")).to_contain_text("Locust")
        charts = page.locator("#streams figure")
        await expect(charts).to_have_count(7)
        await expect(charts).to_contain_text(
            ["TTFT", "Inter-token", "Queue", "End to end", "Tokens/s", "in flight", "Failed"]
        )
        lines = await charts.locator("path[stroke-width='1.5']").evaluate_all(
            "all => all.map(one => one.getAttribute('d'))"
        )
        assert len(lines) == 12
        assert all(line.count("L") >= 1 for line in lines[-3:]), "counts are there from the start"
        drawn = await charts.first.locator("path[stroke-width='1.5']").first.get_attribute("d")
        assert drawn is not None
        assert drawn.startswith("M"), "a window with a first token is a point of the line"


def test_the_web_page_shows_the_statistics_as_charts_and_no_key(toy: Toy, started, tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    locust = started(
        toy, "--web-host", "127.0.0.1", "--web-port", str(port), "--autostart", "-u", "3", "-r", "3",
        "--personas", "rag", "--think", "0.1", "--slo", "",
    )  # fmt: skip

    def get(path: str) -> bytes:
        with urllib.request.urlopen(base + path, timeout=5) as reply:
            return bytes(reply.read())

    def page() -> bytes:
        try:
            return get("/")
        except OSError:
            return b""

    found = eventually(page, 30, "the page", every=0.2)
    assert found.count(b"streams.js") == 1
    assert b"sk-secret" not in found
    assert b"ttft_p99_ms" in get("/streams.js")

    def busy() -> bool:
        rows = json.loads(get("/streams/data"))
        assert len(rows) == 60
        return any(row["ttft_p50_ms"] and row["gap_p99_ms"] is not None and row["tokens_per_s"] > 1 for row in rows)

    eventually(busy, 20, "a window with streams", every=0.5)
    names = {(one["method"], one["name"]) for one in json.loads(get("/stats/requests"))["stats"]}
    assert {("TTFT", "rag"), ("ITL", "rag"), ("queue", "rag"), ("tokens/s", "rag"), ("e2e", "rag")} <= names
    asyncio.run(look(base))
    locust.send_signal(signal.SIGTERM)
    assert locust.wait(60) == 0

"""What is made of the clients' words: theirs from shortened reports of runs against the toy server."""

import json
import sys
from pathlib import Path

import pytest

from loadtests.prompts import prompts
from loadtests.referees import __main__ as command
from loadtests.referees.__main__ import BARE, SLUICE, WAKING, clients, ratios
from loadtests.referees.clients import Race, guidellm_row, ours, vllm_row
from loadtests.referees.results import Row
from loadtests.servers import Server
from tests.loadtests.toy_chat import serving


def row(side: str, seed: int, rate: float, client: str = "ours", failed: int = 0) -> Row:
    return Row(client, side, seed, 10, failed, rate, rate * 64, 1.0, 2.0, 1.0, 2.0)


def test_a_failed_request_fails_the_comparison_and_its_figures_are_kept(tmp_path, monkeypatch):
    out = tmp_path / "referees.json"
    monkeypatch.setattr(sys, "argv", ["referees", "--out", str(out)])
    monkeypatch.setattr(command, "race_all", lambda *_: [row(BARE, 1, 10.0), row(SLUICE, 1, 9.0, failed=2)])
    with pytest.raises(SystemExit, match="2 requests failed"):
        command.main()
    assert json.loads(out.read_bytes())["ratios"]["ours"]["median"] == 0.9
    monkeypatch.setattr(command, "race_all", lambda *_: [row(BARE, 1, 10.0), row(SLUICE, 1, 9.0)])
    command.main()


def test_a_ratio_is_of_two_runs_of_one_round_whichever_came_first():
    rows = [row(BARE, 1, 10.0), row(SLUICE, 1, 9.0), row(SLUICE, 2, 30.0), row(BARE, 2, 20.0)]
    rows += [row(BARE, 1, 4.0, "guidellm"), row(SLUICE, 1, 6.0, "guidellm")]
    found = ratios(rows)
    assert (found["ours"].low, found["ours"].high, found["ours"].count) == (0.9, 1.5, 2)
    assert found["guidellm"].median == 1.5


def test_guidellm_takes_part_if_it_is_there(tmp_path):
    assert len(clients(None)) == 2
    assert len(clients(tmp_path)) == 3


def test_what_wakes_a_system_is_not_what_it_is_measured_with():
    """A prompt that was asked for before is in the prefix cache."""
    for seed in range(1, 9):
        assert not set(prompts(160, seed)) & set(prompts(160, WAKING + seed))


def test_guidellms_report_is_read(tmp_path):
    report = json.loads(Path(__file__).with_name("guidellm.json").read_bytes())
    server = Server(None, "toy", {"own": 1}, "sk")  # type: ignore[arg-type]
    found = guidellm_row(Race(SLUICE, server, "", 12, 4, 3, tmp_path), report)
    assert (found.client, found.side, found.seed, found.completed, found.failed) == ("guidellm", SLUICE, 3, 12, 0)
    assert (found.requests_per_s, found.ttft_p50_ms, found.ttft_p99_ms) == (17.815, 9.5, 32.973)
    report["benchmarks"][0]["metrics"]["request_totals"] |= {"errored": 2, "incomplete": 1}
    assert guidellm_row(Race(SLUICE, server, "", 12, 4, 3, tmp_path), report).failed == 3


def test_vllms_own_report_is_read_and_what_is_missing_has_failed(tmp_path):
    report = json.loads(Path(__file__).with_name("vllm-bench.json").read_bytes())
    server = Server(None, "toy", {"own": 1}, "sk")  # type: ignore[arg-type]
    found = vllm_row(Race(BARE, server, "", 14, 4, 1, tmp_path), report)
    assert (found.client, found.side, found.completed, found.failed) == ("vllm bench serve", BARE, 12, 2)
    assert (found.requests_per_s, found.ttft_p50_ms, found.gap_p99_ms) == (13.911, 40.296, 23.613)


def test_our_own_client_counts_what_it_got(tmp_path):
    with serving() as toy:
        server = Server(None, "toy", {"own": toy.server_address[1]}, "sk")  # type: ignore[arg-type]
        found = ours(Race(BARE, server, "", 12, 4, 1, tmp_path))
    assert (found.completed, found.failed, found.side) == (12, 0, BARE)
    assert found.tokens_per_s == pytest.approx(64 * found.requests_per_s)

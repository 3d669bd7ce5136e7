"""Arrivals: Poisson gaps, traces in both forms, and a day's curve."""

import itertools
import json
import random
import statistics

import pytest

from loadtests.suite import arrivals
from loadtests.suite.arrivals import Arrival, TraceError, fitted, part, rates, read_trace


def test_poisson_gaps_have_their_mean_and_spread_and_one_seed_gives_one_order():
    times = list(itertools.islice(arrivals.poisson(5.0, random.Random(1)), 20_000))
    gaps = [b - a for a, b in itertools.pairwise([0.0, *times])]
    assert statistics.fmean(gaps) == pytest.approx(0.2, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(0.2, rel=0.05)
    assert times[:9] == list(itertools.islice(arrivals.poisson(5.0, random.Random(1)), 9))


@pytest.mark.parametrize(
    "text",
    [
        "timestamp,input_tokens,output_tokens\n3.5,10,5\n1.5,20,6\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:48.5,10,5\n2023-11-16 18:15:46.5000000,20,6\n",
    ],
)
def test_a_csv_trace_is_read_in_order_from_zero(tmp_path, text):
    (tmp_path / "trace.csv").write_text(text)
    assert read_trace(tmp_path / "trace.csv") == [Arrival(0.0, 20, 6), Arrival(2.0, 10, 5)]


def test_a_mooncake_trace_keeps_what_prompts_share(tmp_path):
    lines = [
        {"timestamp": 3000, "input_length": 900, "output_length": 7, "hash_ids": [1, 2]},
        {"timestamp": 1000, "input_length": 700, "output_length": 8, "hash_ids": [1, 3]},
    ]
    (tmp_path / "trace.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_trace(tmp_path / "trace.jsonl") == [Arrival(0.0, 700, 8, (1, 3)), Arrival(2.0, 900, 7, (1, 2))]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "timestamp,input_tokens,output_tokens\n1,2,3\nsoon,2,3\n", "t.csv:3"),
        ("t.csv", "timestamp,output_tokens\n1,2\n", "t.csv:2"),
        ("t.csv", "timestamp,input_tokens,output_tokens\n", "no arrivals"),
        ("t.csv", "timestamp,input_tokens,output_tokens\n1,2,3\nnan,2,3\n", "t.csv:3"),
        ("t.csv", "timestamp,input_tokens,output_tokens\n1e999,2,3\n", "t.csv:2"),
        ("t.csv", "timestamp,input_tokens,output_tokens\n1,2,\xff\n", "t.csv: 'utf-8'"),
        ("t.csv", f"timestamp,input_tokens,output_tokens\n1,2,{'3' * 140_000}\n", "t.csv: field"),
        ("t.jsonl", '{"timestamp": 1}', "t.jsonl"),
    ],
)
def test_a_trace_that_cannot_be_read_is_refused_by_name(tmp_path, name, text, said):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(TraceError, match=said):
        read_trace(tmp_path / name)
    with pytest.raises(TraceError, match=r"none\.csv"):
        read_trace(tmp_path / "none.csv")


def test_lengths_are_scaled_and_fit_the_context():
    assert fitted(Arrival(1.0, 1000, 100), 10, 2048) == Arrival(1.0, 100, 10)
    huge = fitted(Arrival(1.0, 100_000, 5000), 1, 2048)
    assert (huge.prompt_tokens + huge.output_tokens, huge.output_tokens) == (2048, 1024)


def test_workers_replay_all_of_a_trace_and_nothing_twice():
    trace = [Arrival(float(number), 1, 1) for number in range(7)]
    parts = [part(trace, index, 3) for index in range(3)]
    assert sorted(itertools.chain(*parts), key=lambda one: one.at_s) == trace


def test_a_days_curve_is_the_traces_load_over_its_peak():
    trace = [Arrival(at, 1, 1) for at in (0.0, 0.1, 5.0, 5.1, 5.2, 5.3, 10.0)]
    assert rates(trace, 4) == [0.5, 0.0, 1.0, 0.25]

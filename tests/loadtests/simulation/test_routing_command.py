"""The command, its file and its exit status."""

import sys

import msgspec
import pytest

from loadtests.simulation import routing
from tests.loadtests.simulation.traces import conversations


def command(monkeypatch, trace, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["routing", str(trace), *options])
    with pytest.raises(SystemExit) as left:
        routing.main()
    return left.value.code


def test_it_prints_a_table_writes_a_file_and_tells_of_missed_bars(monkeypatch, tmp_path, capsys):
    trace, out = tmp_path / "trace.jsonl", tmp_path / "results" / "out.json"
    one_off = [msgspec.structs.replace(each, hash_ids=[number]) for number, each in enumerate(conversations(60, 1, 60))]
    trace.write_bytes(b"\n".join(msgspec.json.encode(arrival) for arrival in one_off))
    assert command(monkeypatch, trace, "--out", str(out)) == 0
    results = msgspec.json.decode(out.read_bytes(), type=routing.Results)
    assert results.requests == 60
    assert str(tmp_path) not in out.read_text()
    assert [text for text in results.missed if text.startswith("hits 0.0%")]
    printed = capsys.readouterr().out
    assert "longest prefix" in printed
    assert "MISSED" in printed
    assert command(monkeypatch, trace, "--out", str(out), "--strict") == 1

"""The command, its file and its exit status."""

import sys

import msgspec
import pytest

from loadtests.simulation import admission
from loadtests.simulation.admission_loads import LOADS


def test_it_prints_tables_writes_a_file_and_fails_where_a_load_is_below_the_bar(monkeypatch, tmp_path, capsys):
    out = tmp_path / "results" / "out.json"
    monkeypatch.setattr(sys, "argv", ["admission", "--seeds", "1", "--out", str(out)])
    monkeypatch.setattr(admission, "LOADS", {name: LOADS[name] for name in ("all classes", "many small tenants")})
    monkeypatch.setattr(admission, "costs_us", lambda: {"refusal": 12.0})
    monkeypatch.setattr(admission, "RESERVES", (0.2,))
    monkeypatch.setattr(admission, "HONEST_BAR", 0.97)
    with pytest.raises(SystemExit) as left:
        admission.main()
    results = msgspec.json.decode(out.read_bytes(), type=admission.Results)
    assert [row.load for row in results.honesty][:2] == ["all classes", "many small tenants"]
    assert results.missed == ["many small tenants"]
    assert left.value.code == 1
    assert str(tmp_path) not in out.read_text()
    assert "many small tenants" in capsys.readouterr().out

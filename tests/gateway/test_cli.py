"""What the command prints of names that an operator may give, and what it refuses."""

import json
from pathlib import Path

import pytest

from gateway import cli


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "sluice.yaml"
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    file.write_text(json.dumps({"state_dir": str(tmp_path / "state"), "models": models}))
    return file


@pytest.fixture
def keys(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`sluice keys ...`: exit status, and what was printed."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["sluice", "keys", "-c", str(config), *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return run


def test_names_are_printed_as_they_were_given(keys) -> None:
    for name in ("[/x]", "[bold]a", ":key:"):
        code, said = keys("create", "--name", name, "--tenant", name)
        assert (code, f"for tenant {name};" in said) == (0, True)
    code, said = keys("list")
    assert code == 0
    assert all(name in said for name in ("[/x]", "[bold]a", ":key:"))


@pytest.mark.parametrize("days", ["4000000", "nan", "inf", "-3", "0", "soon"])
def test_a_key_that_would_never_end_or_never_begin_is_not_made(keys, days: str) -> None:
    code, said = keys("create", "--name", "a", f"--days={days}")
    assert code == 2
    assert f"{days} is not a number of days above 0" in said
    assert keys("list")[1].count("\n") == 1, "the head alone"


def test_days_may_be_a_part_of_one_or_a_hundred_years(keys) -> None:
    for days in ("0.25", "36500"):
        assert keys("create", "--name", "a", "--days", days)[0] == 0
    assert keys("list")[1].count("until ") == 2


@pytest.mark.parametrize("expires", [4e11, float("inf"), float("nan")])
def test_a_key_of_old_that_ends_beyond_all_dates_can_be_listed_and_revoked(keys, config: Path, expires: float) -> None:
    assert keys("create", "--name", "a")[0] == 0
    file = config.parent / "state" / "keys.json"
    stored = json.loads(file.read_text())
    (entry,) = stored["keys"]
    entry["expires"] = expires
    file.write_text(json.dumps(stored))
    code, said = keys("list")
    assert (code, "until beyond all dates" in said) == (0, True)
    assert keys("revoke", entry["id"])[0] == 0

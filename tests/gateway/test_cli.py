"""What the command prints of names that an operator may give, and what it refuses."""

import io
import json
from pathlib import Path

import pytest

from gateway import cli
from gateway.auth.keys import KeyRecord
from gateway.key_table import key_table
from gateway.plain_console import plain_console


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "sluice.yaml"
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    file.write_text(json.dumps({"state_dir": str(tmp_path / "state"), "models": models}))
    return file


@pytest.fixture
def keys(config: Path, sluice):
    """`sluice keys ...`: exit status, and what was printed."""
    return lambda *arguments: sluice("keys", "-c", str(config), *arguments)


@pytest.fixture
def sluice(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["sluice", *arguments])
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


@pytest.mark.parametrize(
    "words", ["keys create --name a", "keys list", "keys revoke ID", "audit verify", "guard explain KEY"]
)
def test_the_file_may_be_named_before_and_after_the_verb(words: str) -> None:
    command, *verb = words.split()
    for arguments in ([command, "-c", "f.yaml", *verb], [command, *verb, "-c", "f.yaml"]):
        assert cli.parser().parse_args(arguments).config == Path("f.yaml")
    assert cli.parser().parse_args([command, *verb]).config == cli.DEFAULT_CONFIG


def test_keys_in_a_pipe_are_told_whole_one_to_a_line(keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    name, tenant = "continuous integration of everything", "acme-production-in-the-north"
    keys("create", "--name", name, "--tenant", tenant, "--scope", "inference", "--scope", "metrics", "--days", "1")
    head, row = keys("list")[1].splitlines()
    assert head.count("(UTC)") == 2
    assert all(part in row for part in (name, tenant, "inference metrics", "until "))


def test_keys_on_a_narrow_terminal_lose_nothing() -> None:
    record = KeyRecord("abcdefgh", "n", "acme-production-in-the-north", "standard", frozenset(("inference",)), 0.0)
    page = io.StringIO()
    console = plain_console(page)
    console.width = 50
    console.print(key_table([record], 1.0))
    assert "…" not in page.getvalue()


@pytest.mark.parametrize("broken", ['{"gatewy": {}}', '{"models": [], "gateway": {"replicas": -1}}'])
def test_what_runs_is_found_by_a_file_that_was_broken_meanwhile(sluice, tmp_path: Path, broken: str) -> None:
    file, state = tmp_path / "sluice.yaml", tmp_path / "state"
    file.write_text(json.dumps(json.loads(broken) | {"state_dir": str(state)}))
    for command, status in (("down", 0), ("status", 3)):
        code, said = sluice(command, "-c", str(file))
        assert code == status
        assert f"Sluice is not running (state: {state})" in said
        assert f"sluice: {file}: " in said
    assert sluice("keys", "list", "-c", str(file))[0] == 2


@pytest.mark.parametrize("content", ['{"state_dir": 5}', "{", "[]"])
@pytest.mark.parametrize("command", ["down", "status"])
def test_a_file_that_does_not_tell_where_the_state_is_is_an_error(
    sluice, tmp_path: Path, command: str, content: str
) -> None:
    file = tmp_path / "sluice.yaml"
    file.write_text(content)
    code, said = sluice(command, "-c", str(file))
    assert (code, said.startswith(f"sluice: {file}: ")) == (2, True)


@pytest.mark.parametrize("words", ["down", "status", "up"])
def test_a_state_directory_that_cannot_be_one_is_told_in_a_sentence(sluice, config: Path, words: str) -> None:
    (config.parent / "state").touch()
    code, said = sluice(words, *(() if words == "up" else ("-c",)), str(config))
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith(f"sluice: {config.parent / 'state'}")


def test_an_address_that_nobody_answers_at_is_told_in_a_sentence(sluice, config: Path, monkeypatch) -> None:
    def nobody(*_: object) -> int:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(cli, "_up", nobody)
    assert sluice("up", str(config)) == (2, "sluice: Could not find any running Ray instance.\n")

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

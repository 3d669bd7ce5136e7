"""What a configuration file says twice, or cannot say, is refused by file and key."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import load
from gateway.errors import ConfigError

MODELS = "models: [{name: a, checkpoints: {cpu: {source: 'demo:int8', format: int8-w8a8}}}]\n"


def refusal(folder: Path, content: str | bytes) -> ConfigError:
    file = folder / "sluice.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(file) in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("content", "key", "lines"),
    [
        (MODELS + "gateway: {listen: {port: 8443}}\nlimits: {}\ngateway: {drain_s: 20}\n", "gateway", (2, 4)),
        (MODELS + "gateway:\n  drain_s: 20\n  'drain_s': 30\n", "gateway.drain_s", (3, 4)),
        (MODELS + "gateway: {drain_s: 20, drain_s: 20}\n", "gateway.drain_s", (2, 2)),
        ("models:\n  - name: a\n    name: b\n", "models.0.name", (2, 3)),
    ],
    ids=["section", "key", "line", "list"],
)
def test_what_stands_twice_is_refused_by_its_key_and_lines(
    tmp_path: Path, content: str, key: str, lines: tuple[int, int]
) -> None:
    refused = refusal(tmp_path, content)
    assert refused.key == key
    assert "in line {} and in line {}".format(*lines) in str(refused)


def test_an_anchor_may_be_merged_and_changed(tmp_path: Path) -> None:
    file = tmp_path / "sluice.yaml"
    file.write_text(
        "models:\n"
        "  - &one\n"
        "    name: a\n"
        "    checkpoints: {cpu: {source: 'demo:int8', format: int8-w8a8}}\n"
        "  - &two\n"
        "    <<: *one\n"
        "    name: b\n"
        "  - <<: *two\n"
        "    name: c\n"
    )
    assert [model.name for model in load(file).models] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe" + "models: []".encode("utf-16-le"), "is not UTF-8: invalid start byte at byte 0"),
        (MODELS + "name: 2001-99-99\n", "line 2, column 7"),
        (MODELS + "name: !!bool perhaps\n", "this is no bool"),
        ("[" * 600, "is nested too deeply"),
        (MODELS + "limits: &a {tiers: *a}\n", "limits.tiers"),
        (MODELS + "1: 2\n", "1"),
        ("\x00", "is not YAML"),
        ("", "must be a mapping"),
        (MODELS + 'name: "\\U00110000"\n', "is not YAML"),
        (MODELS + 'name: "\\UFFFFFFFF"\n', "is not YAML"),
        (MODELS + "state_dir: ~nobody-here/state\n", "there is no such user's home folder"),
    ],
    ids=["encoding", "date", "tag", "depth", "circle", "number", "binary", "empty", "escape", "far escape", "user"],
)
def test_what_cannot_be_read_is_an_error_and_no_traceback(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in str(refusal(tmp_path, content))


def test_a_date_is_a_date_whatever_else_was_imported(tmp_path: Path) -> None:
    code = (
        "import lmformatenforcer.external.jsonschemaobjectutil, pathlib, yaml\n"
        "from gateway.config import document\n"
        f"print(document.read(pathlib.Path({str(tmp_path / 'a.yaml')!r})), yaml.safe_load('a: 2001-01-01'))\n"
    )
    (tmp_path / "a.yaml").write_text("a: 2001-01-01")
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "{'a': datetime.date(2001, 1, 1)} {'a': '2001-01-01'}\n"

"""The `sluice` command beside `up`: status of what runs, a second start, help, and configuration errors."""

import json
from pathlib import Path

import pytest

from tests.live.harness import MODEL, Sluice
from tests.live.harness import sluice as command


def test_status_shows_models_engines_and_health(sluice: Sluice) -> None:
    shown = command("status", "-c", sluice.file)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for said in (sluice.url, MODEL, "int8-w8a8", "bnb-nf4", "up", "ready"):
        assert said in shown.stdout


def test_status_as_json_is_json(sluice: Sluice) -> None:
    shown = command("status", "-c", sluice.file, "--json")
    assert shown.returncode == 0
    status = json.loads(shown.stdout)
    assert (status["running"], status["url"]) == (True, sluice.url)
    assert [model["name"] for model in status["gateways"][0]["models"]] == [MODEL, f"{MODEL}-bf16", f"{MODEL}-nf4"]


def test_a_second_start_from_the_same_state_is_refused(sluice: Sluice) -> None:
    done = command("up", sluice.file)
    assert done.returncode == 2
    assert "already running" in done.stderr


def test_a_port_that_is_taken_is_named_with_its_key(sluice: Sluice, tmp_path: Path) -> None:
    config = tmp_path / "second.yaml"
    port = sluice.config["gateway"]["listen"]["port"]
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    listen = {"gateway": {"listen": {"port": port}}, "state_dir": str(tmp_path), "accelerator": "cpu"}
    config.write_text(json.dumps(listen | {"models": models}))
    done = command("up", config)
    assert done.returncode == 2
    assert all(said in done.stderr for said in ("second.yaml", "gateway.listen.port", str(port)))


@pytest.mark.parametrize("verb", [(), ("up",), ("down",), ("status",), ("keys",), ("keys", "create")])
def test_every_command_explains_itself(verb: tuple[str, ...]) -> None:
    done = command(*verb, "--help")
    assert done.returncode == 0
    assert "usage: sluice" in done.stdout


def test_the_version_is_told() -> None:
    from gateway import __version__

    assert command("--version").stdout == f"sluice {__version__}\n"


GOOD = {
    "models": [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}],
    "accelerator": "cpu",
}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps(GOOD | {"modles": []}), "modles: unknown key"),
        (json.dumps(GOOD | {"gateway": {"listen": {"port": "high"}}}), "gateway.listen.port"),
        (json.dumps(GOOD | {"gateway": {"listen": {"port": 99999}}}), "gateway.listen.port"),
        (json.dumps(GOOD | {"models": []}), "models"),
        (json.dumps({**GOOD, "models": GOOD["models"] * 2}), "two models have the same name"),
        (json.dumps(GOOD).replace("demo:int8", "demo:none"), "models.m.checkpoints.cpu.source"),
        (json.dumps(GOOD).replace("int8-w8a8", "awq"), "models.m.checkpoints.cpu.format"),
        ("models: [", "is not YAML"),
        ("just text", "must be a mapping"),
    ],
    ids=["unknown", "type", "range", "none", "twice", "source", "format", "yaml", "text"],
)
def test_a_bad_configuration_stops_the_start_by_file_and_key(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(content)
    done = command("up", file)
    assert done.returncode == 2
    assert "bad.yaml" in done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = command("status", "-c", tmp_path / "absent.yaml")
    assert (done.returncode, "absent.yaml" in done.stderr) == (2, True)

"""What the workflow files ask for exists here; in `make check`, jactionlint looks at whether GitHub understands them, and zizmor at
what they may do.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtests.suite.presets import PRESETS

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


def read(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text())
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in read(file)["jobs"].values() for step in job["steps"]]


def test_there_are_tests_on_each_change_a_gate_before_a_release_and_a_manual_gpu_job():
    # YAML reads the key `on` as a boolean.
    triggers = {file.stem: set(read(file)[True]) for file in WORKFLOWS}
    assert triggers == {
        "tests": {"push", "pull_request"},
        "release-gate": {"push", "workflow_dispatch"},
        "gpu": {"workflow_dispatch"},
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("timeout-minutes", "timeout-minuts"),
        ("inputs.suite", "inputs.siute"),
        ("always()", "alway()"),
        ("ubuntu-24.04", "ubuntu-42.04"),
    ],
)
def test_what_github_would_not_understand_is_found_here(right: str, wrong: str):
    """As `make check` asks."""
    ((linter, options),) = re.findall(
        r"^\t\$\(BIN\)/(jactionlint) (.*) \.github/workflows/\*\.yml$", MAKEFILE, re.MULTILINE
    )
    command = [Path(sys.executable).with_name(linter), *options.split(), "-"]
    text = (ROOT / ".github" / "workflows" / "release-gate.yml").read_text()
    for given, status in ((text, 0), (text.replace(right, wrong), 1)):
        linted = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
        assert linted.returncode == status, linted.stdout


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_what_a_workflow_runs_is_there(file: Path):
    for step in steps(file):
        for target in re.findall(r"\bmake ([a-z]+)", step.get("run", "")):
            assert target in TARGETS
        for script in re.findall(r"(?<!\S)\.ci/\S+", step.get("run", "")):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_actions_are_pinned_to_a_commit_and_nothing_may_be_written(file: Path):
    for step in steps(file):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step.get("uses", f"a/b@{'0' * 40}"))
    content = read(file)
    assert content["permissions"] == {}
    assert [job["permissions"] for job in content["jobs"].values()] == [{"contents": "read"}] * len(content["jobs"])


def test_the_gate_keeps_its_report_whether_it_passed_or_not():
    gate = steps(ROOT / ".github" / "workflows" / "release-gate.yml")
    names = [step.get("name") for step in gate]
    report = gate[names.index("report")]
    assert report["if"] == "always()"
    assert report["with"]["path"] == "loadtests/reports/"
    assert names.index("load test") < names.index("report")
    choices = read(ROOT / ".github" / "workflows" / "release-gate.yml")[True]["workflow_dispatch"]["inputs"]["suite"][
        "options"
    ]

    assert set(choices) <= set(PRESETS)

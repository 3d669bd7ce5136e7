"""The house rules of CONTRIBUTING.md that no linter knows."""

import os
import re
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# In pieces, so that this file keeps the rule that it checks.
INDEX_HOSTS = [
    ".".join(parts) for parts in (("py" + "pi", "org"), ("pythonhosted", "org"), ("download", "pytorch", "org"))
]
MACHINE_PATH = re.compile(r"(?<![\w.~}-])/(?:work|root|home/[a-z_][\w-]*)(?:/|\b(?![\w.-]))")
SHAPELESS = {"utils.py", "helpers.py", "manager.py"}


def ours() -> list[Path]:
    """What git tracks or would track."""
    listing = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    ended = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        pytest.skip("not a git checkout")
    return [path for name in ended.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> dict[str, str]:
    found = {}
    for path in ours():
        try:
            found[str(path.relative_to(ROOT))] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def lines_with(pattern: str | re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in texts().items()
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]


def test_no_python_file_is_longer_than_400_lines():
    long = {str(path): length(path) for path in ours() if path.suffix == ".py" and length(path) > 400}
    assert not long


def test_the_median_source_file_has_at_most_120_lines():
    served = [
        path
        for path in ours()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in {"gateway", "deployments"}
    ]
    assert statistics.median(length(path) for path in served) <= 120


def test_every_file_is_named_for_its_job():
    assert not [path for path in ours() if path.name in SHAPELESS]


def test_no_file_names_a_package_index():
    assert not lines_with("|".join(re.escape(host) for host in INDEX_HOSTS))


def test_no_file_names_a_path_of_the_machine_it_was_written_on():
    assert not lines_with(MACHINE_PATH)


@pytest.mark.parametrize("name", ["cpu", "cuda", "dev"])
def test_a_lock_file_holds_exact_versions_and_nothing_else(name):
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    odd = [line for line in lines if not re.fullmatch(r"#.*|[a-z0-9-]+==([0-9]+!)?[A-Za-z0-9.+]+", line)]
    assert not odd
    assert "://" not in "".join(lines)


def test_the_lock_files_meet_what_is_asked_for():
    checked = subprocess.run(
        [sys.executable, "requirements/lock.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("name", ["runtime", "cpu", "cuda"])
def test_the_project_asks_for_what_the_lock_files_are_made_from(name):
    lines = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
    asked = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = tables["project"]
    if name == "runtime":
        stated = {*project["dependencies"], *tables["build-system"]["requires"]}
    else:
        stated = set(project["optional-dependencies"][name])
    assert stated == asked


def test_the_ci_script_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)

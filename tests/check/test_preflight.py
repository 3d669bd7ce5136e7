"""The installer refuses a machine that would not do, in one sentence that says what to do instead."""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"


@pytest.fixture
def script(monkeypatch):
    """A script of requirements/ by name, imported as it imports its neighbours."""
    monkeypatch.syspath_prepend(str(REQUIREMENTS))
    yield importlib.import_module
    for name in ("install", "pip_run", "preflight"):
        sys.modules.pop(name, None)


@pytest.fixture
def machine(script):
    """A machine that is accepted, to be changed in one way at a time."""
    return script("preflight").Machine(
        system="Linux",
        architecture="x86_64",
        libc="glibc",
        glibc=(2, 36),
        implementation="CPython",
        python=(3, 12, 1),
        bits=64,
        free_threaded=False,
        missing_modules=(),
    )


def one_sentence(text: str) -> bool:
    return text.endswith(".") and text.count(". ") == 0 and "\n" not in text


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_a_suitable_machine_is_accepted(script, machine, minor):
    preflight, machine = script("preflight"), machine._replace(python=(3, minor, 0))
    assert preflight.platform_refusal(machine) is None
    assert preflight.python_refusal(machine, None) is None
    assert preflight.modules_refusal(machine) is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"system": "Darwin"}, "Darwin"),
        ({"system": "Windows"}, "Windows"),
        ({"architecture": "aarch64"}, "aarch64"),
        ({"libc": "", "glibc": ()}, "another C library"),
        ({"glibc": (2, 28)}, "glibc 2.28"),
    ],
)
def test_another_platform_is_refused(script, machine, change, word):
    sentence = script("preflight").platform_refusal(machine._replace(**change))
    assert word in sentence
    assert one_sentence(sentence)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"python": (3, 10, 13)}, "Python 3.10.13"),
        ({"python": (3, 15, 0)}, "Python 3.15.0"),
        ({"implementation": "PyPy"}, "PyPy"),
        ({"bits": 32}, "32-bit"),
        ({"free_threaded": True}, "free-threaded"),
    ],
)
def test_another_python_is_refused(script, machine, change, word):
    sentence = script("preflight").python_refusal(machine._replace(**change), None)
    assert word in sentence
    assert one_sentence(sentence)


def test_a_suitable_interpreter_is_named(script, machine):
    sentence = script("preflight").python_refusal(machine._replace(python=(3, 9, 2)), "python3.12")
    assert "run python3.12 requirements/install.py" in sentence


def test_an_interpreter_that_does_not_run_is_passed_over(script, tmp_path, monkeypatch):
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    (tmp_path / "python3.12").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert script("preflight").suitable_interpreter() == "python3.12"


def test_missing_venv_names_the_package_to_install(script, machine):
    sentence = script("preflight").modules_refusal(machine._replace(missing_modules=("ensurepip",)))
    assert "apt-get install python3.12-venv" in sentence


def test_a_full_disk_is_refused(script):
    preflight = script("preflight")
    assert "7.5 GiB free" in preflight.disk_refusal(7.5, "cpu", Path("env"))
    assert preflight.disk_refusal(8, "cpu", Path("env")) is None
    assert preflight.disk_refusal(8, "cuda", Path("env"))


@pytest.mark.parametrize(
    ("sign", "found"), [(None, "cpu"), ("dev/nvidiactl", "cuda"), ("proc/driver/nvidia/version", "cuda")]
)
def test_the_accelerator_is_what_the_driver_shows(script, tmp_path, sign, found):
    if sign:
        (tmp_path / sign).parent.mkdir(parents=True)
        (tmp_path / sign).touch()
    assert script("preflight").accelerator_here(tmp_path) == found


def test_a_missing_cpu_build_of_torch_is_explained(script):
    sentence = script("pip_run").explanation(["ERROR: No matching distribution found for torch==2.13.0+cpu"])
    assert "PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS" in sentence


def test_a_package_that_was_cut_off_in_the_middle_is_forgotten(script, tmp_path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("whole-1.dist-info", "half-1.dist-info", "~emoved-1.dist-info"):
        (site / name).mkdir(parents=True)
    (site / "whole-1.dist-info" / "INSTALLER").touch()
    script("install").discard_halves(tmp_path)
    assert [path.name for path in site.iterdir()] == ["whole-1.dist-info"]


@pytest.fixture
def packages(tmp_path):
    """Three packages in something like an environment, one of which holds a file that is no Python, and one metadata folder."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    for name, text in {
        "a/b/c.py": "1",
        "d/e.py": "2",
        "d/f.py": "print 3",
        "g.py": "4",
        "h.dist-info/i.py": "5",
    }.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    return tmp_path


def compiled(folder):
    return sorted(path.name.partition(".")[0] for path in folder.rglob("*.pyc"))


def test_what_can_be_compiled_is(script, packages):
    pip_run = script("pip_run")
    with Path(os.devnull).open() as lock:
        pip_run.byte_compile(packages, pip_run.Progress(quiet=True), lock.fileno())
    assert compiled(packages) == ["c", "e", "g"]


def test_a_compiler_that_was_killed_is_told_and_none_goes_on(script, packages):
    pip_run = script("pip_run")
    (packages / "bin" / "python").unlink()
    (packages / "bin" / "python").write_text(f"#!/bin/sh\necho $$ >> {packages}/pids\nsleep 0.3\nkill -9 $$\n")
    (packages / "bin" / "python").chmod(0o755)
    with Path(os.devnull).open() as lock, pytest.raises(pip_run.Failed, match="signal 9: run this again"):
        pip_run.byte_compile(packages, pip_run.Progress(quiet=True), lock.fileno())
    time.sleep(0.1)
    for pid in (packages / "pids").read_text().split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().split()[2] == "Z"


@pytest.mark.parametrize(
    ("stamped", "asked", "done"),
    [
        (None, False, True),
        (None, True, False),
        ("tools", False, True),
        ("tools", True, True),
        ("old", True, False),
    ],
)
def test_an_environment_with_tools_serves_without_them_but_not_the_other_way(script, tmp_path, stamped, asked, done):
    install = script("install")
    (tmp_path / "bin").mkdir()
    for name in ("python", "sluice"):
        (tmp_path / "bin" / name).touch()
    (tmp_path / install.STAMP).write_text(json.dumps({"runtime": "same", "dev": stamped}))
    assert install.installed(tmp_path, {"runtime": "same", "dev": "tools"}, asked) is done
    assert not install.installed(tmp_path, {"runtime": "other", "dev": "tools"}, asked)

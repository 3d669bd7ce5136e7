"""The shipped rules and scrape configuration are valid, and each alert goes off when it should."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "deployments" / "prometheus"
COMMANDS = {
    "config": ("check", "config", "--syntax-only", "prometheus.yml"),
    "rules": ("check", "rules", "rules.yml"),
    "alerts": ("test", "rules", "rules_test.yml"),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_promtool_agrees(what):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: Debian has it in its package 'prometheus'")
    ended = subprocess.run([promtool, *COMMANDS[what]], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_no_alert_is_left_unproved():
    rules, proofs = ((FOLDER / name).read_text() for name in ("rules.yml", "rules_test.yml"))
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    assert alerts == set(re.findall(r"alertname: (\w+)", proofs))

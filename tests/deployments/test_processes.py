"""Who yields on a busy machine: what only watches, and nobody whose arguments tell of it."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import psutil

from deployments.processes import YIELDING, let_watchers_yield


def test_ray_s_dashboard_yields_and_the_raylet_that_is_told_how_to_start_its_agent_does_not(tmp_path: Path) -> None:
    """What a raylet starts later, engines and gateways, is as nice as the raylet."""
    script = tmp_path / "ray" / "dashboard" / "dashboard.py"
    script.parent.mkdir(parents=True)
    script.write_text("import sys; sys.stdin.read()")
    commands = (
        [sys.executable, "-u", str(script)],
        [
            sys.executable,
            "-c",
            "import sys; sys.stdin.read()",
            "--socket=a",
            f"--dashboard_agent_command=python {script}",
        ],
    )
    with ExitStack() as last:
        watcher, raylet = (last.enter_context(subprocess.Popen(one, stdin=subprocess.PIPE)) for one in commands)
        own = psutil.Process().nice()
        let_watchers_yield()
        assert psutil.Process(watcher.pid).nice() == YIELDING
        assert psutil.Process(raylet.pid).nice() == own

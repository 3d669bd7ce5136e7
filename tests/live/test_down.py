"""`sluice down` from another terminal: the whole stop, not only the end of the one process it signals."""

from pathlib import Path

import pytest

from tests.live.harness import Sluice, free_ports, model
from tests.live.harness import sluice as command

pytestmark = [pytest.mark.destructive(order=10), pytest.mark.timeout(200)]


def test_down_lets_nothing_behind(tmp_path: Path) -> None:
    listen, management = free_ports(2)
    config = {
        "state_dir": str(tmp_path / "state"),
        "gateway": {"listen": {"port": listen}, "management": {"port": management}, "drain_s": 2},
        "models": [model("sluice-demo", "demo:int8", "int8-w8a8")],
        "ray": {"dashboard": False},
    }
    running = Sluice(tmp_path, config)
    running.start()
    try:
        assert len(running.tree()) > 5
        down = command("down", "-c", running.file)
        assert (down.returncode, down.stdout.strip()) == (0, "stopped")
        assert running.process is not None
        assert running.process.wait(5) == 0
        assert " s  stopped" in running.log
        assert running.survivors() == []
        assert not (tmp_path / "state" / "run.json").exists()
    finally:
        running.stop()

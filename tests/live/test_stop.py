"""The end of the shared Sluice, by Ctrl-C: nothing is left behind. The very last test."""

import socket

import httpx
import psutil
import pytest

from tests.live.harness import Sluice
from tests.live.harness import sluice as command

pytestmark = [pytest.mark.destructive(order=9), pytest.mark.timeout(200)]


def test_ctrl_c_lets_nothing_behind(sluice: Sluice) -> None:
    ports = [sluice.config["gateway"][door]["port"] for door in ("listen", "management", "haproxy")]
    before = {process.pid: process for process in sluice.tree()}
    assert len(before) > 10
    assert sluice.interrupt() == 0
    assert sluice.survivors() == []
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    assert "stopped" in sluice.log
    assert not (sluice.folder / "state" / "run.json").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(sluice.url, trust_env=False)
    ours = str(sluice.folder)
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if ours in " ".join(p.info["cmdline"] or ())]
    assert left == []


def test_status_and_down_say_that_nothing_runs(sluice: Sluice) -> None:
    status = command("status", "-c", sluice.file)
    assert (status.returncode, "not running" in status.stdout) == (3, True)
    down = command("down", "-c", sluice.file)
    assert (down.returncode, "not running" in down.stdout) == (0, True)

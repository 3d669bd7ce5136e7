"""One real `sluice up` in a session of its own: start, keys, status, and everything that its process tree holds."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests.waiting import eventually

MODEL = "sluice-demo"
ENGINE = {
    "dtype": "bfloat16",
    "enforce_eager": True,
    "max_num_seqs": 64,
    "max_num_batched_tokens": 2048,
    "block_size": 32,
    "kv_cache_memory": "64MiB",
}
# Slow enough for a busy machine with two cores; an idle one is ready in a third of it.
READY_S = 240.0
STOP_S = 90.0
STALL_S = 6
"""After which a gateway gives up an engine core that stands still: test_chaos need not wait for the default's 20 s, and a busy
machine does not stand still so long.
"""


def free_ports(count: int) -> list[int]:
    """Below the ephemeral range, so that no outgoing connection takes one before it is used."""
    found: list[int] = []
    while len(found) < count:
        port = random.randint(20_000, 29_999)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def model(name: str, source: str, fmt: str, **engine: Any) -> dict[str, Any]:
    checkpoint = {"source": source, "format": fmt}
    return {"name": name, "checkpoints": {"cpu": checkpoint}, "tool_parser": "hermes", "engine": ENGINE | engine}


def sluice(*arguments: object, **kwargs: Any) -> subprocess.CompletedProcess[str]:
    """The command as a user types it."""
    command = [sys.executable, "-m", "gateway.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **kwargs)


@dataclass
class Sluice:
    """A running Sluice, its folder, and how to reach it."""

    folder: Path
    config: dict[str, Any]
    process: subprocess.Popen[bytes] | None = None
    started_in: float = 0.0
    known: set[psutil.Process] = field(default_factory=set)

    @property
    def file(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text(errors="replace")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.config['gateway']['listen']['port']}"

    @property
    def management(self) -> str:
        return f"http://127.0.0.1:{self.config['gateway']['management']['port']}"

    def start(self) -> None:
        begun = time.monotonic()
        self.launch()
        try:
            eventually(self._is_up, READY_S, "Sluice ready", every=0.2)
        except AssertionError as exc:
            self.stop()
            raise AssertionError(f"Sluice did not start:\n{self.log[-4000:]}") from exc
        except BaseException:
            self.stop()
            raise
        self.started_in = time.monotonic() - begun
        self.tree()

    def launch(self) -> None:
        """Without waiting for anything."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(yaml.safe_dump(self.config))
        with (self.folder / "up.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "up", str(self.file)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | {"COLUMNS": "200"},
            )

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "sluice up has ended"
        return "Sluice is ready" in self.log

    def tree(self) -> list[psutil.Process]:
        """Every process below `sluice up`, itself included; remembered, to be looked for after the end."""
        assert self.process is not None
        root = psutil.Process(self.process.pid)
        found = [root, *root.children(recursive=True)]
        self.known.update(found)
        return found

    def interrupt(self) -> int:
        """Ctrl-C: SIGINT, and the exit status."""
        assert self.process is not None
        self.tree()
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def survivors(self) -> list[str]:
        """What should have ended and has not."""
        return [
            f"{process.pid} {' '.join(process.cmdline())[:120]}"
            for process in self.known
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]

    def stop(self) -> None:
        """However it stands: end it, and whatever is left of it, by pid."""
        if self.process is None:
            return
        if self.process.poll() is None:
            try:
                self.interrupt()
            except subprocess.TimeoutExpired:
                self.tree()
                self.process.kill()
                self.process.wait()
        for process in self.known:
            if process.is_running():
                process.kill()

    def key(self, name: str = "test", *options: object) -> str:
        """A new key by `sluice keys create`."""
        made = sluice("keys", "-c", self.file, "create", "--name", name, *options)
        assert made.returncode == 0, made.stderr
        return made.stdout.split()[0]

    def status(self) -> dict[str, Any]:
        return httpx.get(f"{self.management}/status", timeout=10, trust_env=False).json()  # type: ignore[no-any-return]

    def model_status(self, name: str = MODEL) -> dict[str, Any]:
        return next(one for one in self.status()["models"] if one["name"] == name)

    def streams(self, name: str = MODEL) -> int:
        return int(self.model_status(name)["streams"])

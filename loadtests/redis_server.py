"""A real Redis of a run's own, that may be killed and come back."""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

START_S = 20.0


@dataclass
class RedisServer:
    url: str
    folder: Path
    process: subprocess.Popen[bytes]


def start_redis(folder: Path, port: int = 0) -> RedisServer:
    """On any free port if none is named. Raises FileNotFoundError where Redis is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        raise FileNotFoundError("this needs redis-server on PATH (Debian, Ubuntu: apt-get install redis-server)")
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
        # Linux divides the cores among sessions (sched_autogroup): in ours it would wait for the load generator's turn.
        start_new_session=True,
    )
    until = time.monotonic() + START_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise RuntimeError("redis-server did not start")
        time.sleep(0.02)
    return RedisServer(f"redis://127.0.0.1:{port}", folder, process)


def stop_redis(server: RedisServer) -> None:
    server.process.kill()
    server.process.wait()


def start_again(server: RedisServer) -> None:
    """A stopped one, at its old address, with nothing in it."""
    server.process = start_redis(server.folder, int(server.url.rpartition(":")[2])).process


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16) == b"+PONG\r\n"
    except OSError:
        return False

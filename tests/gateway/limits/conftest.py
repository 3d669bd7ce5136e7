"""A real Redis, started for the tests on a free port of this machine."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import eventually


@dataclass
class RedisServer:
    url: str
    process: subprocess.Popen[bytes]


def start_redis(folder: Path, port: int = 0) -> RedisServer:
    """On any free port if none is named."""
    program = shutil.which("redis-server")
    assert program is not None, "these tests need redis-server on PATH (Debian, Ubuntu: apt-get install redis-server)"
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        assert process.poll() is None, "redis-server ended"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16) == b"+PONG\r\n"
        except OSError:
            return False

    eventually(answers, within=20, what="redis-server answers")
    return RedisServer(f"redis://127.0.0.1:{port}", process)


def stop_redis(server: RedisServer) -> None:
    server.process.kill()
    server.process.wait()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    stop_redis(server)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """For a test that stalls or kills it."""
    server = start_redis(tmp_path)
    yield server
    stop_redis(server)

"""A real Redis, started for the tests on a free port of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.redis_server import RedisServer, start_redis, stop_redis


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

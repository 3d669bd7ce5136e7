"""The contract of every store, with a real file and a real Redis."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.guard.file_store import FileStore
from gateway.guard.leaks import Charge
from gateway.guard.redis_store import RedisStore
from gateway.guard.store import GuardStore, GuardStoreUnavailable, Row
from loadtests.redis_server import RedisServer
from tests.gateway.limits.conftest import own_redis, redis_server

__all__ = ["own_redis", "redis_server"]


@pytest.fixture(params=["file", "redis"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[GuardStore]]:
    """Two of them, as two gateways have."""
    if request.param == "file":
        pair: list[GuardStore] = [FileStore(tmp_path / "guard.sqlite") for _ in range(2)]
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        pair = [RedisStore(server.url, 2.0, prefix=f"test-{time.monotonic_ns()}")] * 2
    yield pair
    for store in {id(store): store for store in pair}.values():
        store.close()


def test_a_charge_is_taken_whole_or_not_at_all(stores: list[GuardStore]) -> None:
    here, there = stores
    limit = Charge(10, 4)
    assert here.reserve("m/a", Charge(6, 1), limit)
    assert not there.reserve("m/a", Charge(5, 1), limit)
    assert there.reserve("m/a", Charge(4, 0), limit)
    assert not here.reserve("m/a", Charge(0, 4), limit)
    assert here.reserve("m/a", Charge(0, 3), limit)
    assert here.meters() == {"m/a": Charge(10, 4)}


def test_a_part_that_is_full_does_not_stand_in_the_way_of_the_other(stores: list[GuardStore]) -> None:
    assert stores[0].reserve("m/a", Charge(10, 0), Charge(10, 4))
    assert stores[0].reserve("m/a", Charge(0, 1), Charge(10, 4))


def test_what_is_given_back_can_be_taken_again(stores: list[GuardStore]) -> None:
    here, there = stores
    assert here.reserve("m/a", Charge(10, 0), Charge(10, 0))
    here.give_back("m/a", Charge(3, 0))
    assert there.reserve("m/a", Charge(3, 0), Charge(10, 0))
    assert not there.reserve("m/a", Charge(1, 0), Charge(10, 0))


def test_many_at_once_never_take_more_than_there_is(stores: list[GuardStore]) -> None:
    granted: list[bool] = []

    def take(store: GuardStore) -> None:
        granted.extend(store.reserve("m/a", Charge(3, 0), Charge(50, 0)) for _ in range(10))

    threads = [threading.Thread(target=take, args=(store,)) for store in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 16
    assert stores[0].meters()["m/a"] == Charge(48, 0)


def test_rows_are_read_from_a_mark_on_and_each_writer_has_its_own(stores: list[GuardStore]) -> None:
    here, there = stores
    here.write([Row("day:k", "g1", 5, b"one"), Row("key:k", "", 60, b"all")])
    rows, mark = there.read(0)
    assert sorted(rows) == [Row("day:k", "g1", 5, b"one"), Row("key:k", "", 60, b"all")]
    assert there.read(mark) == ([], mark)
    here.write([Row("day:k", "g1", 5, b"two")])
    there.write([Row("day:k", "g2", 5, b"other")])
    rows, mark = there.read(mark)
    assert sorted(rows) == [Row("day:k", "g1", 5, b"two"), Row("day:k", "g2", 5, b"other")]
    here.sweep(6)
    assert [row.subject for row in here.read(0)[0]] == ["key:k"]


def test_a_file_remembers_after_its_gateway_has_gone(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "guard.sqlite")
    assert store.reserve("m/a", Charge(7, 0), Charge(10, 0))
    store.close()
    again = FileStore(tmp_path / "guard.sqlite")
    assert not again.reserve("m/a", Charge(4, 0), Charge(10, 0))
    again.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_redis_that_is_gone_or_silent_is_an_error_within_the_time_allowed(
    own_redis: RedisServer, how: signal.Signals
) -> None:
    store = RedisStore(own_redis.url, 0.2)
    assert store.reserve("m/a", Charge(1, 0), Charge(10, 0))
    own_redis.process.send_signal(how)
    begun = time.monotonic()
    with pytest.raises(GuardStoreUnavailable):
        store.reserve("m/a", Charge(1, 0), Charge(10, 0))
    assert time.monotonic() - begun < 2
    store.close()

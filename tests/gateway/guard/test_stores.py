"""The contract of every store, with a real file and a real Redis."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.guard import redis_store
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


def test_meters_that_count_together_hold_one_limit_and_each_its_own_charges(stores: list[GuardStore]) -> None:
    here, there = stores
    limit = Charge(10, 4)
    assert here.reserve("m/a", Charge(6, 1), limit)
    assert not there.reserve("m/b", Charge(5, 0), limit, ["m/a"])
    assert there.reserve("m/b", Charge(4, 0), limit, ["m/a", "m/never"])
    assert not here.reserve("m/a", Charge(0, 4), limit, ["m/b"])
    assert here.reserve("m/a", Charge(0, 3), limit, ["m/b"])
    there.give_back("m/b", Charge(1, 0))
    assert here.meters() == {"m/a": Charge(6, 4), "m/b": Charge(3, 0)}


def test_a_meter_inherits_once_and_only_if_it_holds_nothing_yet(stores: list[GuardStore]) -> None:
    here, there = stores
    here.inherit("new/a", "old/a")
    assert here.meters() == {}
    assert here.reserve("old/a", Charge(6, 1), Charge(10, 4))
    for store in (here, there):
        store.inherit("new/a", "old/a")
    assert not there.reserve("new/a", Charge(5, 0), Charge(10, 4))
    assert there.reserve("new/a", Charge(4, 0), Charge(10, 4))
    here.inherit("new/a", "old/a")
    assert here.meters() == {"old/a": Charge(6, 1), "new/a": Charge(10, 1)}


def test_what_is_given_back_can_be_taken_again(stores: list[GuardStore]) -> None:
    here, there = stores
    assert here.reserve("m/a", Charge(10, 0), Charge(10, 0))
    here.give_back("m/a", Charge(3, 0))
    assert there.reserve("m/a", Charge(3, 0), Charge(10, 0))
    assert not there.reserve("m/a", Charge(1, 0), Charge(10, 0))


def test_what_is_given_back_to_a_meter_that_was_lost_grants_nothing(stores: list[GuardStore]) -> None:
    here, there = stores
    here.give_back("m/a", Charge(7, 2))
    assert min(here.meters().get("m/a", Charge())) >= 0
    assert not there.reserve("m/a", Charge(11, 0), Charge(10, 4))
    assert not there.reserve("m/a", Charge(0, 5), Charge(10, 4))
    assert there.reserve("m/a", Charge(10, 4), Charge(10, 4))


def test_many_at_once_never_take_more_than_there_is(stores: list[GuardStore]) -> None:
    granted: list[bool] = []

    def take(store: GuardStore, meter: str, other: str) -> None:
        granted.extend(store.reserve(meter, Charge(3, 0), Charge(50, 0), [other]) for _ in range(10))

    pairs = [(store, *names) for store in stores for names in (("m/a", "m/b"), ("m/b", "m/a"))]
    threads = [threading.Thread(target=take, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted) == 16
    assert sum(used.scalars for used in stores[0].meters().values()) == 48


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


class Interrupted(RedisStore):
    """Another gateway has its turn whenever this one has asked one question."""

    def between(self, turn: Callable[[], None]) -> None:
        ask = self._redis.execute_command

        def asked(*question: Any, **more: Any) -> Any:
            answer = ask(*question, **more)
            turn()
            return answer

        self._redis.execute_command = asked  # type: ignore[method-assign]


def test_rows_are_not_lost_where_the_log_is_trimmed_while_it_is_read(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "KEEP", 2)
    prefix = f"test-{time.monotonic_ns()}"
    here, there = Interrupted(redis_server.url, 2.0, prefix), RedisStore(redis_server.url, 2.0, prefix)
    there.write([Row("old", "g", 5, b"")] * 3)
    _, mark = here.read(0)
    there.write([Row("release", "g", 5, b""), Row("newer", "g", 5, b"")])
    here.between(lambda: there.sweep(0))
    assert sorted(row.subject for row in here.read(mark)[0]) == ["newer", "release"]
    for store in (here, there):
        store.close()


def test_after_a_redis_has_lost_its_log_all_rows_are_read(redis_server: RedisServer) -> None:
    prefix = f"test-{time.monotonic_ns()}"
    store = RedisStore(redis_server.url, 2.0, prefix)
    store.write([Row("old", "g", 5, b"")] * 9)
    _, mark = store.read(0)
    store._redis.delete(*store._redis.keys(f"{prefix}:*"))
    store.write([Row("new", "g", 5, b"")])
    rows, mark = store.read(mark)
    assert rows == [Row("new", "g", 5, b"")]
    assert store.read(mark) == ([], mark)
    store.close()


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


def test_a_meter_keeps_the_first_settings_it_was_asked_about(stores: list[GuardStore]) -> None:
    here, there = stores
    assert here.settings("m/a", "x", 2) == {"x"}
    assert there.settings("m/a", "y", 2) == {"x", "y"}
    assert here.settings("m/a", "z", 2) == there.settings("m/a", "x", 2) == {"x", "y"}
    assert here.settings("m/b", "z", 2) == {"z"}

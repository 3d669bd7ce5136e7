"""What gateways write of a key does not grow with their restarts, and nothing of it is lost."""

from pathlib import Path
from typing import Any

from gateway.guard.detector import Detector
from gateway.guard.file_store import FileStore
from gateway.guard.guard import Guard
from gateway.guard.sharing import LEDGER
from gateway.guard.slots import Slot
from gateway.guard.store import GuardStoreUnavailable
from gateway.guard.verdict import Level
from tests.gateway.guard.observations import START, seen
from tests.gateway.guard.test_guard import SETTINGS, Collected, observations


class Coming(FileStore):
    """Answers from a certain moment on."""

    away = True

    def read(self, since: int) -> Any:
        if self.away:
            raise GuardStoreUnavailable("not there yet")
        return super().read(since)


def life(store: FileStore, slot: str) -> Guard:
    return Guard(Detector(SETTINGS, secret=b"s"), store, Collected(), 2000, clock=lambda: START + 9000, slot=slot)


def test_a_slot_is_held_by_one_and_taken_over_by_the_next(tmp_path: Path) -> None:
    first, second = Slot(tmp_path), Slot(tmp_path)
    assert first.name != second.name
    first.close()
    third = Slot(tmp_path)
    assert third.name == first.name
    second.close()
    third.close()


def test_restarts_add_no_rows_of_a_key_and_forget_no_level(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    for at in range(10):
        running = life(store, "n-0")
        for each in observations(400) if at == 0 else [seen(key="thief", tenant="of-thief", at=START + 8999)]:
            running.observe(each)
        running._sync()
        running._look()
        running._judge(START + 9000)
        running._sync()
        assert running.verdict("thief").level >= Level.THROTTLE
    rows, _ = store.read(0)
    assert [row.subject for row in rows if row.subject.startswith(LEDGER)] == [LEDGER + "thief"]
    store.close()


def test_what_a_slot_held_is_read_before_anything_is_written_over_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "g.sqlite")
    before = life(store, "n-0")
    for each in observations(400):
        before.observe(each)
    before._look()
    before._judge(START + 9000)
    before._sync()
    late = Coming(tmp_path / "g.sqlite")
    after = life(late, "n-0")
    after.observe(seen(key="thief", tenant="of-thief", at=START + 8999))
    after._look()
    after._sync()
    assert after.problem is not None
    late.away = False
    after._sync()
    assert after.problem is None
    assert after.verdict("thief").level is before.verdict("thief").level
    third = life(store, "n-0")
    third._sync()
    assert third.verdict("thief").level is before.verdict("thief").level
    for each in (store, late):
        each.close()

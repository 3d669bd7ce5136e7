"""Files end and go by size, age and number; the chain goes on, and what was retired is told from what was removed."""

import os

import pytest

from gateway.audit.chain import Retention
from gateway.audit.files import End, retirable
from gateway.audit.record import Event
from gateway.audit.verify import Kind
from tests.gateway.audit.conftest import DAY, Trail


def test_a_file_ends_at_its_size_and_the_chain_goes_on(trail: Trail):
    trail.retention = Retention(rotate_bytes=1000)
    trail.write(*range(20))
    assert len(trail.files()) > 3
    assert all(path.stat().st_size < 1500 for path in trail.files())
    assert [record["seq"] for record in trail.records()] == list(range(1, 21))
    assert trail.verify().findings == []


def test_a_file_ends_after_its_time(trail: Trail):
    with trail.open() as log:
        log.submit(Event.QUARANTINED, tenant="a").result(10)
        trail.now += DAY - 1
        log.submit(Event.QUARANTINED, tenant="a").result(10)
        trail.now += 1
        log.submit(Event.QUARANTINED, tenant="a").result(10)
    assert [path.read_bytes().count(b"\n") for path in trail.files()] == [2, 1]
    assert trail.verify().findings == []


def test_files_go_some_time_after_their_last_record_and_the_trail_tells_so(trail: Trail):
    trail.retention = Retention(keep_s=10 * DAY)
    for day in range(30):
        trail.write(day)
        trail.now += DAY
    # The file of the day 11 before is older than ten days, and today's was begun today.
    assert trail.counts() == list(range(19, 30))
    assert Event.RETIRED in trail.events()
    assert trail.verify().findings == []


def test_no_more_than_so_many_files_are_kept(trail: Trail):
    trail.retention = Retention(rotate_bytes=1, keep_files=4)
    trail.write(*range(30))
    assert len(trail.files()) == 5
    assert trail.verify().findings == []


def test_a_chain_that_nobody_writes_is_retired_by_others(trail: Trail):
    trail.write(1, role="cli")
    trail.now += 2 * DAY
    trail.write(2)
    trail.now += 100 * DAY
    trail.write(3)
    assert trail.counts() == [3]
    assert trail.verify().findings == []


def test_one_file_more_than_was_retired_is_missed(trail: Trail):
    trail.retention = Retention(rotate_bytes=1, keep_files=4)
    trail.write(*range(30))
    trail.files()[0].unlink()
    (finding,) = trail.verify().findings
    assert (finding.kind, finding.file, finding.line) == (Kind.REMOVED, trail.files()[0].name, 1)


def test_a_crash_before_the_retired_files_went_is_made_good(trail: Trail, monkeypatch):
    trail.retention = Retention(rotate_bytes=1, keep_files=2)
    trail.write(0, 1, 2)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        trail.write(3)
    assert Event.RETIRED in trail.events()
    assert trail.verify().findings == []
    trail.write(4)
    assert len(trail.files()) == 3
    assert trail.verify().findings == []


@pytest.mark.parametrize("attack", ["time", "size", "files", "replay", "copies"])
def test_nobody_without_the_secret_has_evidence_retired_early(trail: Trail, attack):
    trail.retention = Retention(keep_s=10 * DAY, keep_files=8)
    for day in range(6):
        trail.write(day)
        trail.now += DAY
    oldest, *_, newest = trail.files()
    old_line = oldest.read_bytes()
    removed_by_hand: list[int] = []
    match attack:
        case "time":
            for path in trail.files():
                os.utime(path, (0, 0))
        case "size":
            with oldest.open("ab") as file:
                file.truncate(2**28)
        case "files":
            for number in range(7, 40):
                oldest.with_name(f"gateway-0.{number:06d}.jsonl").touch()
        case "replay":
            # Five days from now the oldest line is past its time, the file it was added to is not.
            with newest.open("ab") as file:
                file.write(old_line)
            trail.now += 5 * DAY
            removed_by_hand = [0]
        case "copies":
            for number in range(7, 40):
                oldest.with_name(f"gateway-0.{number:06d}.jsonl").write_bytes(old_line)
    trail.write(99)
    kept = {count for count in trail.counts() if count not in removed_by_hand}
    assert kept == {0, 1, 2, 3, 4, 5, 99} - set(removed_by_hand)


def test_what_is_retired_is_the_newest_that_is_due_and_all_before_it():
    ends = [End(1, 10, 100.0), End(2, 20, 200.0), End(3, 30, 300.0)]
    assert retirable(ends, 200.0, 9) == End(1, 10, 100.0)
    assert retirable(ends, 201.0, 9) == End(2, 20, 200.0)
    assert retirable(ends, 0.0, 2) == End(1, 10, 100.0)
    assert retirable(ends, 0.0, 0) == End(3, 30, 300.0)
    assert retirable(ends, 0.0, 3) is None
    assert retirable([], 1e12, 0) is None


def test_a_clock_that_was_set_back_retires_what_is_due_later():
    ends = [End(1, 10, 500.0), End(2, 20, 100.0), End(3, 30, 300.0)]
    assert retirable(ends, 200.0, 9) == End(2, 20, 100.0)

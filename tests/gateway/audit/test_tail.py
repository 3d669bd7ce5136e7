"""The newest records of a trail."""

from pathlib import Path

from gateway.audit.log import AuditLog
from gateway.audit.record import Event
from gateway.audit.tail import READ, tail


def written(folder: Path, role: str, number: int) -> None:
    log = AuditLog.open(folder / "trail", role, folder / "vault")
    for count in range(number):
        log.submit(Event.REQUEST_POISONED, count=count, gateway=role)
    log.close()


def test_the_newest_come_first_from_all_chains(tmp_path: Path) -> None:
    written(tmp_path, "one", 3)
    written(tmp_path, "two", 3)
    found = tail(tmp_path / "trail", 4)
    assert len(found) == 4
    assert found[0]["time"] >= found[-1]["time"]
    assert {record["chain"] for record in found[:3]} == {"two-0"}
    assert found[0]["fields"]["count"] == 2


def test_a_long_trail_is_read_from_its_end_only(tmp_path: Path) -> None:
    written(tmp_path, "one", 500)
    (file,) = (tmp_path / "trail").glob("*.jsonl")
    assert file.stat().st_size > READ
    assert [record["fields"]["count"] for record in tail(tmp_path / "trail", 3)] == [499, 498, 497]


def test_no_trail_and_a_torn_line_are_no_error(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 5) == []
    written(tmp_path, "one", 2)
    (file,) = (tmp_path / "trail").glob("*.jsonl")
    with file.open("ab") as end:
        end.write(b'{"v":1,"seq"')
    assert len(tail(tmp_path / "trail", 5)) == 2

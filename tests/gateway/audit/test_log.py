"""The log of one process: it never waits for the disk, never lies about what is durable, and never writes a secret."""

import asyncio
import errno
import itertools
import os
import subprocess
import sys
import threading
import time

import pytest

from gateway.audit.log import AuditLog, Pace
from gateway.audit.record import AuditError, Event
from gateway.audit.verify import Kind, verify
from tests.gateway.audit.conftest import Trail
from tests.waiting import eventually


class Disk:
    """Stands before `os.fdatasync`: stalls while `go` is not set, fails while `error` is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.reached, self.error, self.calls = threading.Event(), threading.Event(), 0, 0
        self.go.set()
        self._real = os.fdatasync
        monkeypatch.setattr("os.fdatasync", self)

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        self.reached.set()
        assert self.go.wait(20)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        self._real(descriptor)


async def test_an_acknowledged_record_is_on_disk(trail: Trail):
    log = trail.open()
    seq = await asyncio.wrap_future(log.submit(Event.KEY_CREATED, key="k1"))
    assert [record["seq"] for record in trail.records()] == [seq] == [1]


async def test_a_stalled_disk_delays_no_caller_and_acknowledges_nothing(trail: Trail, monkeypatch):
    log = trail.open()
    disk = Disk(monkeypatch)
    disk.go.clear()
    began = time.monotonic()
    for _ in range(1000):
        assert log.record(Event.AUTH_FAILED, reason="unknown")
    acknowledged = asyncio.wrap_future(log.submit(Event.KEY_REVOKED, key="k1"))
    assert time.monotonic() - began < 0.5
    assert await asyncio.to_thread(disk.reached.wait, 10)
    await asyncio.sleep(0.05)
    assert not acknowledged.done()
    disk.go.set()
    assert await asyncio.wait_for(acknowledged, 10) == 1001


def test_what_gathers_while_the_disk_works_is_one_commit(trail: Trail, monkeypatch):
    log = trail.open()
    disk = Disk(monkeypatch)
    disk.go.clear()
    log.record(Event.AUTH_FAILED)
    assert disk.reached.wait(10)
    for _ in range(500):
        log.record(Event.AUTH_FAILED)
    last = log.submit(Event.AUTH_FAILED)
    disk.go.set()
    assert last.result(10) == 502
    # Two commits, each with one sync for the records and one for the head.
    assert disk.calls == 4


def test_a_full_queue_drops_and_says_how_many_of_which(trail: Trail, monkeypatch):
    trail.capacity = 10
    log = trail.open()
    disk = Disk(monkeypatch)
    disk.go.clear()
    log.record(Event.AUTH_FAILED)
    assert disk.reached.wait(10)
    taken = [log.record(Event.REQUEST_REFUSED, count=n) for n in range(25)]
    log.record(Event.AUTH_FAILED)
    assert taken == [True] * 10 + [False] * 15
    acknowledged = log.submit(Event.QUARANTINED, tenant="t")
    disk.go.set()
    assert acknowledged.result(10) == 12
    log.close()
    told = {r["fields"]["event"]: r["fields"]["count"] for r in trail.records() if r["event"] == Event.DROPPED}
    assert told == {Event.REQUEST_REFUSED: 15, Event.AUTH_FAILED: 1}


def test_a_flood_of_one_kind_is_counted_and_hides_no_other(trail: Trail):
    trail.pace = Pace(burst=20, per_s=2)
    log = trail.open()
    for second in range(100):
        trail.now += 1
        for _ in range(50):
            log.record(Event.AUTH_FAILED, address="203.0.113.5")
        if second % 10 == 0:
            assert log.record(Event.REQUEST_REFUSED, count=second)
    log.close()
    written = trail.events()
    assert written.count(Event.REQUEST_REFUSED) == 10
    assert written.count(Event.AUTH_FAILED) == 20 + 99 * 2
    told = [r["fields"]["count"] for r in trail.records() if r["event"] == Event.DROPPED]
    assert sum(told) == 100 * 50 - written.count(Event.AUTH_FAILED)
    assert len(told) <= 12


@pytest.mark.parametrize("written", [0, 40])
def test_a_disk_that_fails_and_recovers_loses_nothing(trail: Trail, monkeypatch, written):
    """A full disk, with and without the beginning of the record on it."""
    log = trail.open()
    log.submit(Event.REQUEST_REFUSED, count=0).result(10)
    real, full = os.write, threading.Event()
    full.set()

    def write(descriptor: int, data: memoryview) -> int:
        if full.is_set() and threading.current_thread().name.startswith("audit-"):
            real(descriptor, data[:written])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr("os.write", write)
    waiting = log.submit(Event.REQUEST_REFUSED, count=1)
    eventually(lambda: log.problem, within=10)
    assert "No space left" in (log.problem or "")
    assert log.record(Event.REQUEST_REFUSED, count=2)
    assert not waiting.done()
    full.clear()
    waiting.result(10)
    log.close()
    assert trail.counts() == [0, 1, 2]
    assert trail.verify().findings == []


def test_a_disk_that_stays_full_is_given_one_new_file_and_no_more(trail: Trail, monkeypatch):
    """The last bytes of the disk take the beginning of a record, and nothing after it."""
    monkeypatch.setattr("gateway.audit.log.RETRY_S", 0.001)
    log = trail.open()
    log.submit(Event.REQUEST_REFUSED, count=0).result(10)
    real, full, tries, files = os.write, threading.Event(), itertools.count(), []
    full.set()

    def write(descriptor: int, data: memoryview) -> int:
        if not full.is_set() or not threading.current_thread().name.startswith("audit-"):
            return real(descriptor, data)
        if next(tries) == 0:
            return real(descriptor, data[:7])
        files.append(len(trail.files()))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.write", write)
    waiting = log.submit(Event.REQUEST_REFUSED, count=1)
    eventually(lambda: len(files) > 20, within=10)
    assert max(files) == 2
    full.clear()
    waiting.result(10)
    log.close()
    assert trail.counts() == [0, 1]
    assert trail.verify().findings == []


def test_a_failed_sync_may_repeat_a_record_but_loses_none(trail: Trail, monkeypatch):
    log = trail.open()
    disk = Disk(monkeypatch)
    disk.error = errno.EIO
    waiting = log.submit(Event.REQUEST_REFUSED, count=1)
    eventually(lambda: log.problem, within=10)
    disk.error = 0
    waiting.result(10)
    log.close()
    assert set(trail.counts()) == {1}
    assert trail.verify().findings == []


def test_closing_gives_up_on_a_disk_that_still_fails(trail: Trail, monkeypatch):
    log = trail.open()
    Disk(monkeypatch).error = errno.EIO
    waiting = log.submit(Event.KEY_CREATED, key="k")
    eventually(lambda: log.problem, within=10)
    log.close()
    with pytest.raises(AuditError, match="Input/output error"):
        waiting.result(0)
    with pytest.raises(AuditError, match="closed"):
        log.submit(Event.KEY_CREATED, key="k").result(0)
    assert not log.record(Event.AUTH_FAILED)


def test_closing_writes_what_is_queued(trail: Trail):
    log = trail.open()
    for count in range(3000):
        log.record(Event.REQUEST_REFUSED, count=count)
    log.close()
    assert trail.counts() == list(range(3000))


@pytest.mark.parametrize("harm", ["removed", "replaced", "cut", "added"])
def test_a_file_that_is_tampered_with_under_the_writer_is_told_and_left(trail: Trail, harm):
    log = trail.open()
    for count in range(3):
        log.submit(Event.REQUEST_REFUSED, count=count).result(10)
    (path,) = trail.files()
    raw = path.read_bytes()
    match harm:
        case "removed":
            path.unlink()
        case "replaced":
            path.rename(trail.root / "away")
            path.write_bytes(raw)
        case "cut":
            os.truncate(path, len(raw) - 10)
        case "added":
            path.write_bytes(raw + b"\n")
    assert log.submit(Event.REQUEST_REFUSED, count=3).result(10) == 5
    told = [record for record in trail.records() if record["event"] == Event.BROKEN]
    assert [(record["fields"]["file"], record["fields"]["through"]) for record in told] == [(path.name, 3)]
    kinds = {finding.kind for finding in trail.verify().findings}
    expected = {"removed": {Kind.REMOVED}, "replaced": set(), "cut": {Kind.CHANGED}, "added": {Kind.CHANGED}}
    assert kinds == expected[harm]


def test_a_trail_that_was_cut_between_two_starts_stays_found(trail: Trail):
    trail.write(*range(5))
    (path,) = trail.files()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    trail.write(5)
    assert trail.events()[3:] == [Event.BROKEN, Event.REQUEST_REFUSED]
    (finding,) = trail.verify().findings
    assert (finding.kind, finding.line) == (Kind.REMOVED, 1)
    assert "records 4 to 5" in finding.detail


def test_a_chain_without_its_head_is_not_continued(trail: Trail):
    trail.write(1)
    (trail.vault / "gateway-0.head").unlink()
    assert trail.open().chain == "gateway-1"
    assert [finding.kind for finding in trail.verify().findings] == [Kind.HEADLESS]


def test_each_open_log_has_a_chain_of_its_own_and_gives_it_back(trail: Trail):
    first, second, cli = trail.open(), trail.open(), trail.open("cli")
    assert [first.chain, second.chain, cli.chain] == ["gateway-0", "gateway-1", "cli-0"]
    first.close()
    assert trail.open().chain == "gateway-0"


WRITER = """
import sys
from pathlib import Path
from gateway.audit.log import AuditLog, Pace
from gateway.audit.record import Event

root, role, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with AuditLog.open(root / "audit", role, root / "vault") as log:
    print("open", flush=True)
    sys.stdin.readline()
    for n in range(count):
        log.record(Event.REQUEST_REFUSED, count=n)
    print(log.chain, log.submit(Event.REQUEST_REFUSED, count=count).result(20))
"""


def test_processes_that_start_at_once_write_side_by_side(trail: Trail):
    roles = ["gateway", "gateway", "gateway", "cli"]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(trail.root), role, "400"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for role in roles
    ]
    assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["open\n"] * 4
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    chains = {line.split()[0]: int(line.split()[1]) for line in (w.communicate(timeout=60)[0] for w in writers)}
    assert sorted(chains) == ["cli-0", "gateway-0", "gateway-1", "gateway-2"]
    report = trail.verify()
    assert report.findings == []
    assert {chain: head[0] for chain, head in report.heads.items()} == chains
    assert report.records == sum(chains.values()) == 4 * 401


def test_a_folder_that_cannot_be_written_stops_the_start(trail: Trail):
    trail.folder.parent.mkdir(exist_ok=True)
    trail.folder.write_text("a file")
    with pytest.raises(AuditError, match="cannot be opened"):
        trail.open()


def test_there_is_no_verifying_without_a_secret(trail: Trail):
    with pytest.raises(AuditError, match="no secret"):
        verify(trail.folder, trail.vault)


def test_secret_and_records_are_their_owners_alone(trail: Trail):
    trail.write(1)
    modes = {path.stat().st_mode & 0o777 for folder in (trail.folder, trail.vault) for path in folder.iterdir()}
    assert modes == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (trail.folder, trail.vault)} == {0o700}


def test_a_chain_cannot_be_named_out_of_the_folder(trail: Trail):
    with pytest.raises(AuditError, match="cannot name"):
        AuditLog.open(trail.folder, "../gateway", trail.vault)

"""What a crash leaves is told from tampering, and nothing acknowledged is lost in it."""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.record import Event
from gateway.audit.verify import Kind
from tests.gateway.audit.conftest import DAY, Trail

ROUNDS = 12
ACKNOWLEDGED, WRITTEN = 4, 9

WRITER = """
import collections, sys
from pathlib import Path
from gateway.audit.chain import Retention
from gateway.audit.log import AuditLog
from gateway.audit.record import Event

root = Path(sys.argv[1])
log = AuditLog.open(root / "audit", "gateway", root / "vault", retention=Retention(rotate_bytes=200_000))
waiting = collections.deque()
for count in range(10**9):
    waiting.append((count, log.submit(Event.REQUEST_REFUSED, count=count, digest="x" * (count % 90))))
    while waiting and (len(waiting) > 200 or waiting[0][1].done()):
        done, future = waiting.popleft()
        sys.stdout.write(f"{future.result()} {done}\\n")
    sys.stdout.flush()
"""


def test_no_acknowledged_record_is_lost_to_sigkill(trail: Trail):
    """Processes that write as fast as they can are killed again and again, each continuing its predecessor's chain."""
    chance = random.Random(7)
    acknowledged: dict[int, int] = {}
    for _ in range(ROUNDS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(trail.root)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        wanted = chance.randrange(100, 3000)
        for number, line in enumerate(writer.stdout):
            if number == wanted:
                # While its output is read on, so that it is killed at work and not while it waits for the pipe.
                threading.Timer(chance.random() * 0.02, writer.send_signal, [signal.SIGKILL]).start()
            if line.endswith("\n"):
                seq, count = line.split()
                acknowledged[int(seq)] = int(count)
        writer.wait()
        writer.stdout.close()
        assert trail.verify().whole
    assert len(acknowledged) > ROUNDS * 100
    trail.write(1)
    report = trail.verify()
    assert report.findings == []
    kept = {record["seq"]: record["fields"].get("count") for record in trail.records()}
    assert {seq: kept.get(seq) for seq in acknowledged} == acknowledged
    assert {record["chain"] for record in trail.records()} == {"gateway-0"}


@pytest.fixture(scope="module")
def unacknowledged(tmp_path_factory) -> Trail:
    """Nine records, of which the head knows four: the others were written, and the crash came before the head."""
    trail = Trail(tmp_path_factory.mktemp("trail"))
    trail.write(*range(ACKNOWLEDGED))
    head = (trail.vault / "gateway-0.head").read_bytes()
    trail.write(*range(ACKNOWLEDGED, WRITTEN))
    (trail.vault / "gateway-0.head").write_bytes(head)
    return trail


@settings(deadline=None)
@given(data=st.data())
def test_a_write_cut_short_at_any_byte_is_repaired_and_told(unacknowledged, data):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(unacknowledged.root, folder, dirs_exist_ok=True)
        trail = Trail(Path(folder))
        (path,) = trail.files()
        lines = path.read_bytes().splitlines(keepends=True)
        safe = len(b"".join(lines[:ACKNOWLEDGED]))
        length = data.draw(st.integers(safe, len(b"".join(lines))))
        path.write_bytes(b"".join(lines)[:length])
        whole = path.read_bytes().count(b"\n")
        torn = not path.read_bytes().endswith(b"\n")

        before = trail.verify()
        assert before.whole
        assert [finding.kind for finding in before.findings] == [Kind.UNFINISHED] * torn

        trail.write(77)
        after = trail.verify()
        assert after.findings == []
        assert trail.counts() == [*range(whole), 77]
        assert trail.events().count(Event.REPAIRED) == torn
        told = [record["fields"] for record in trail.records() if record["event"] == Event.REPAIRED]
        assert all(fields["file"] == path.name for fields in told)


@settings(deadline=None)
@given(data=st.data())
def test_a_repair_that_is_itself_cut_short_is_repaired_too(unacknowledged, data):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(unacknowledged.root, folder, dirs_exist_ok=True)
        trail = Trail(Path(folder))
        (first,) = trail.files()
        first.write_bytes(first.read_bytes()[:-3])
        head = (trail.vault / "gateway-0.head").read_bytes()
        trail.write()
        (trail.vault / "gateway-0.head").write_bytes(head)
        second = trail.files()[1]
        raw = second.read_bytes()
        second.write_bytes(raw[: data.draw(st.integers(0, len(raw)))])
        trail.write(77)
        assert trail.verify().findings == []
        assert trail.counts() == [*range(WRITTEN - 1), 77]


def test_what_stood_in_a_torn_line_stays_evidence(unacknowledged, tmp_path):
    shutil.copytree(unacknowledged.root, tmp_path, dirs_exist_ok=True)
    trail = Trail(tmp_path)
    (path,) = trail.files()
    path.write_bytes(path.read_bytes()[:-20])
    trail.write(77)
    first, second = trail.files()
    assert first == path
    assert not first.read_bytes().endswith(b"\n")
    # Whoever puts a forged ending to it is found.
    first.write_bytes(first.read_bytes() + b"x")
    assert [(f.file, f.kind) for f in trail.verify().findings] == [(first.name, Kind.CHANGED)]
    assert second.exists()


def test_a_torn_line_that_was_told_stands_for_no_record(unacknowledged, tmp_path):
    """Its file is followed by one that begins with another record than the one that tells of it."""
    shutil.copytree(unacknowledged.root, tmp_path, dirs_exist_ok=True)
    trail = Trail(tmp_path)
    trail.now += 50 * DAY
    trail.write(50)
    head = (trail.vault / "gateway-0.head").read_bytes()
    trail.write(51)
    (trail.vault / "gateway-0.head").write_bytes(head)
    torn = trail.files()[-1]
    torn.write_bytes(torn.read_bytes()[:-5])
    trail.now += 41 * DAY
    trail.write(52)
    assert trail.verify().findings == []
    last = trail.files()[-1]
    assert trail.events()[-3:] == [Event.RETIRED, Event.REPAIRED, Event.REQUEST_REFUSED]
    last.write_bytes(b"".join(last.read_bytes().splitlines(keepends=True)[1:]))
    assert (last.name, 1, Kind.REMOVED) in [(f.file, f.line, f.kind) for f in trail.verify().findings]


def test_a_line_added_while_nobody_writes_is_no_crash(unacknowledged, tmp_path):
    shutil.copytree(unacknowledged.root, tmp_path, dirs_exist_ok=True)
    trail = Trail(tmp_path)
    (path,) = trail.files()
    with path.open("ab") as file:
        file.write(b"{}, or so\n")
    trail.write(77)
    assert trail.events()[-2:] == [Event.BROKEN, Event.REQUEST_REFUSED]
    assert [(f.file, f.line, f.kind) for f in trail.verify().findings] == [(path.name, WRITTEN + 1, Kind.CHANGED)]

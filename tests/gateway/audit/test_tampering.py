"""Whatever is done to the lines of a trail by someone without the secret is found, by file and line."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit.chain import Retention
from gateway.audit.record import Event
from gateway.audit.verify import Kind, Report
from tests.gateway.audit.conftest import Trail

PER_FILE = 5
FILES = 3
LINES = PER_FILE * FILES

Lines = list[list[bytes]]


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Trail:
    """Three files of five records each."""
    trail = Trail(tmp_path_factory.mktemp("trail"))
    for number in range(FILES):
        trail.retention = Retention(rotate_bytes=1 if number else 2**20)
        with trail.open() as log:
            log.submit(Event.REQUEST_REFUSED, count=number).result(10)
            trail.retention = Retention()
        with trail.open() as log:
            for count in range(1, PER_FILE):
                log.submit(Event.REQUEST_REFUSED, count=number * 100 + count).result(10)
    assert [len(path.read_bytes().splitlines()) for path in trail.files()] == [PER_FILE] * FILES
    assert trail.verify().findings == []
    return trail


@contextmanager
def copied(original: Trail) -> Iterator[Trail]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(original.root, folder, dirs_exist_ok=True)
        yield Trail(Path(folder))


def lines_of(trail: Trail) -> Lines:
    return [path.read_bytes().splitlines(keepends=True) for path in trail.files()]


def rewritten(trail: Trail, lines: Lines) -> Report:
    for path, content in zip(trail.files(), lines, strict=True):
        path.write_bytes(b"".join(content))
    return trail.verify()


def places(report: Report) -> set[tuple[str, int]]:
    return {(finding.file, finding.line) for finding in report.findings if finding.tampering}


def place(file: int, line: int) -> tuple[str, int]:
    """Both from 0."""
    return f"gateway-0.{file + 1:06d}.jsonl", line + 1


file_numbers = st.integers(0, FILES - 1)
line_numbers = st.integers(0, PER_FILE - 1)


@settings(deadline=None)
@given(file=file_numbers, line=line_numbers, data=st.data())
def test_a_changed_byte_is_found_where_it_is(original, file, line, data):
    with copied(original) as trail:
        lines = lines_of(trail)
        raw = bytearray(lines[file][line])
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[at]))
        lines[file][line] = bytes(raw)
        assert place(file, line) in places(rewritten(trail, lines))


@settings(deadline=None)
@given(file=file_numbers, line=line_numbers, data=st.data())
def test_a_byte_taken_out_or_put_in_is_found_where_it_is(original, file, line, data):
    with copied(original) as trail:
        lines = lines_of(trail)
        raw = lines[file][line]
        at = data.draw(st.integers(0, len(raw) - 1))
        put = data.draw(st.none() | st.integers(0, 255))
        lines[file][line] = raw[:at] + raw[at + 1 :] if put is None else raw[:at] + bytes([put]) + raw[at:]
        report = rewritten(trail, lines)
        assert report.findings
        found_at = {place(file, line), place(file, line + 1)}
        assert found_at & places(report)


@settings(deadline=None)
@given(file=file_numbers, line=line_numbers)
def test_a_removed_line_is_found_where_it_should_stand(original, file, line):
    with copied(original) as trail:
        lines = lines_of(trail)
        del lines[file][line]
        report = rewritten(trail, lines)
        (finding,) = report.findings
        missing = f"record {file * PER_FILE + line + 1}"
        if (file, line) == (FILES - 1, PER_FILE - 1):
            assert (finding.kind, (finding.file, finding.line)) == (Kind.TRUNCATED, place(file, line - 1))
        else:
            after = place(file, line) if line < PER_FILE - 1 else place(file + 1, 0)
            assert (finding.kind, (finding.file, finding.line)) == (Kind.REMOVED, after)
            assert missing in finding.detail


@settings(deadline=None)
@given(first=st.integers(0, LINES - 1), second=st.integers(0, LINES - 1))
def test_two_lines_that_changed_places_are_found(original, first, second):
    first, second = sorted((first, second))
    with copied(original) as trail:
        lines = lines_of(trail)
        a, b = divmod(first, PER_FILE), divmod(second, PER_FILE)
        lines[a[0]][a[1]], lines[b[0]][b[1]] = lines[b[0]][b[1]], lines[a[0]][a[1]]
        report = rewritten(trail, lines)
        if first == second:
            assert report.findings == []
        else:
            assert place(*b) in places(report)
            assert {finding.kind for finding in report.findings} <= {Kind.MOVED, Kind.TRUNCATED}


@settings(deadline=None)
@given(what=st.integers(0, LINES - 1), file=file_numbers, line=st.integers(0, PER_FILE))
def test_a_repeated_line_is_found_where_it_was_put(original, what, file, line):
    with copied(original) as trail:
        lines = lines_of(trail)
        copy = lines[what // PER_FILE][what % PER_FILE]
        lines[file].insert(line, copy)
        found = places(rewritten(trail, lines))
        # Beside its original, either of the two is the repetition.
        beside = {place(file, line), place(file, line + 1)}
        if file * PER_FILE + line <= what:
            assert found
        else:
            assert beside & found


@settings(deadline=None)
@given(file=file_numbers, line=st.integers(0, PER_FILE), forged=st.binary(max_size=80))
def test_an_inserted_line_is_found_where_it_was_put(original, file, line, forged):
    with copied(original) as trail:
        lines = lines_of(trail)
        lines[file].insert(line, forged + b"\n")
        assert place(file, line) in places(rewritten(trail, lines))


@settings(deadline=None)
@given(data=st.data())
def test_a_trail_cut_anywhere_is_found(original, data):
    with copied(original) as trail:
        kept = data.draw(st.integers(0, FILES - 1))
        for path in trail.files()[kept + 1 :]:
            path.unlink()
        last = trail.files()[kept]
        raw = last.read_bytes()
        length = data.draw(st.integers(0, len(raw) - (kept == FILES - 1)))
        last.write_bytes(raw[:length])
        report = trail.verify()
        assert not report.whole
        assert last.name in {finding.file for finding in report.findings}


@pytest.mark.parametrize("gone", range(FILES))
def test_a_removed_file_is_found_at_the_file_after_it(original, gone):
    with copied(original) as trail:
        trail.files()[gone].unlink()
        (finding,) = trail.verify().findings
        expected = place(gone + 1, 0) if gone < FILES - 1 else place(gone - 1, PER_FILE - 1)
        assert (finding.file, finding.line) == expected


def test_files_that_changed_names_are_found(original):
    with copied(original) as trail:
        first, second, _ = trail.files()
        raw = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(raw)
        assert place(1, 0) in places(trail.verify())


def test_an_older_copy_of_the_whole_folder_is_found(original):
    with copied(original) as trail:
        older = shutil.copytree(trail.folder, trail.root / "older")
        trail.write(7)
        shutil.rmtree(trail.folder)
        older.rename(trail.folder)
        (finding,) = trail.verify().findings
        assert finding.kind is Kind.TRUNCATED


def test_a_chain_that_is_gone_altogether_is_found(original):
    with copied(original) as trail:
        shutil.rmtree(trail.folder)
        (finding,) = trail.verify().findings
        assert (finding.kind, finding.file) == (Kind.TRUNCATED, place(2, 0)[0])


def test_a_line_of_another_chain_is_found(original):
    with copied(original) as trail:
        trail.write(1, role="cli")
        lines = lines_of(trail)
        lines[1].append(lines[0][0])
        assert place(0, PER_FILE) in places(rewritten(trail, lines))


def test_the_first_line_of_another_chain_is_not_the_first_of_this_one(original):
    with copied(original) as trail:
        trail.write(1, role="cli")
        lines = lines_of(trail)
        lines[1][0] = lines[0][0]
        assert place(0, 0) in places(rewritten(trail, lines))


@pytest.mark.parametrize(("theirs", "found"), [([1], 1), ([0, 1, 2], 2)])
def test_lines_of_a_past_that_was_rolled_back_are_found(original, theirs, found):
    """Whoever once rolled back folder and vault together has lines for the same numbers twice, all of them genuine."""
    with copied(original) as trail, copied(original) as other:
        trail.write(100, 101, 102)
        other.write(200, 201, 202)
        lines, others = lines_of(trail), lines_of(other)
        for number in theirs:
            lines[-1][PER_FILE + number] = others[-1][PER_FILE + number]
        assert place(FILES - 1, PER_FILE + found) in places(rewritten(trail, lines))


def test_a_lost_head_is_told(original):
    with copied(original) as trail:
        (trail.vault / "gateway-0.head").unlink()
        (finding,) = trail.verify().findings
        assert finding.kind is Kind.HEADLESS


def test_a_head_that_was_tampered_with_is_told(original):
    with copied(original) as trail:
        head = trail.vault / "gateway-0.head"
        head.write_bytes(head.read_bytes().replace(b'"seq":', b'"seq":1'))
        (finding,) = trail.verify().findings
        assert finding.kind is Kind.HEADLESS


def test_another_secret_vouches_for_nothing(original):
    with copied(original) as trail:
        (trail.vault / "secret").write_bytes(bytes(32))
        assert len([f for f in trail.verify().findings if f.kind is Kind.CHANGED]) == LINES

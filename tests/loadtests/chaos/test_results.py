import io

import msgspec
import pytest
from rich.console import Console

from loadtests.chaos.results import SCHEMA, Results, Row, unharmed, write
from loadtests.chaos.table import show


def results(*rows: Row) -> Results:
    machine = {"cpu": "toy", "cores": "2"}
    control = Row("control", "none", 4, completed=100, compared=90)
    return Results(SCHEMA, "now", 1.0, [], 1, "c0ffee", machine, {}, {}, 8, 0.1, 0.01, [control, *rows])


def fault(**more) -> Row:
    return Row("core", "SIGKILL of a core", 4, completed=100, compared=90, longest_pause_ms=812.4, **more)


@pytest.mark.parametrize(
    ("row", "good"),
    [
        (fault(), True),
        (fault(refused=3), True),
        (fault(flipped=1), True),
        (fault(flipped=40), False),
        (fault(failed=1), False),
        (fault(altered=1), False),
        (fault(problems=["never recovered"]), False),
        (Row("redis", "death of Redis", notes=["not configured"]), True),
    ],
)
def test_a_run_is_good_only_if_no_stream_was_harmed(row, good):
    assert unharmed(results(row).rows) is good


def test_the_table_tells_every_row_and_every_problem():
    out = io.StringIO()
    rows = (
        fault(failed=1, problems=["greedy: no [DONE] at the end"]),
        Row("redis", "death of Redis", notes=["not configured"]),
    )
    show(results(*rows), Console(file=out, width=160))
    text = out.getvalue()
    assert "812" in text
    assert "core: greedy: no [DONE] at the end" in text
    assert "not configured" in text
    assert "FAILED" in text


def test_what_is_written_can_be_read_back(tmp_path):
    made = results(fault(flipped=1))
    write(made, tmp_path / "new" / "chaos.json")
    assert msgspec.json.decode((tmp_path / "new" / "chaos.json").read_bytes(), type=Results) == made

"""Reading traces."""

import msgspec
import pytest

from loadtests.simulation.mooncake import Arrival, ceiling, read, spread


def arrival(timestamp: int, *blocks: int) -> Arrival:
    return Arrival(timestamp, 512 * len(blocks), 10, list(blocks))


def test_a_trace_is_read_in_order_of_arrival(tmp_path):
    file = tmp_path / "trace.jsonl"
    late, early = arrival(3000, 0, 1), arrival(0, 0, 2)
    file.write_bytes(b"\n".join(msgspec.json.encode(each) for each in (late, early)) + b"\n\n")
    assert read(file) == [early, late]


def test_a_line_of_another_form_is_refused(tmp_path):
    file = tmp_path / "trace.jsonl"
    file.write_text('{"timestamp": 0, "input_length": 5}\n')
    with pytest.raises(msgspec.ValidationError, match="output_length"):
        read(file)


def test_arrivals_of_one_tick_of_the_clock_are_spread_until_the_next():
    together = [arrival(0, 1), arrival(0, 2), arrival(0, 3), arrival(3000, 4)]
    assert [each.timestamp for each in spread(together)] == [0, 1000, 2000, 3000]
    assert [each.hash_ids for each in spread(together)] == [[1], [2], [3], [4]]
    assert spread([]) == []


def test_the_ceiling_counts_leading_blocks_seen_before():
    assert ceiling([arrival(0, 0, 1), arrival(1, 0, 1, 2), arrival(2, 9, 1)]) == pytest.approx(2 / 7)
    assert ceiling([]) == 0.0

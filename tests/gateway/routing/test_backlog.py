"""Least backlog: pure arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.backlog import DECODE_WEIGHT, Backlog, least_backlog

backlogs = st.builds(Backlog, *[st.integers(0, 10_000)] * 4)


@given(st.lists(backlogs, min_size=1, max_size=32), st.integers(0, 10**9))
def test_nobody_has_less_than_the_chosen(candidates: list[Backlog], turn: int) -> None:
    chosen = candidates[least_backlog(candidates, turn)]
    assert chosen.tokens == min(candidate.tokens for candidate in candidates)


def test_ties_are_taken_in_turn() -> None:
    same = [Backlog(0, 0, 0, 0)] * 3
    assert [least_backlog(same, turn) for turn in range(6)] == [0, 1, 2, 0, 1, 2]


def test_work_that_other_gateways_sent_counts_once() -> None:
    assert Backlog(2, 10, 5, 100).tokens == 100 + 5 * DECODE_WEIGHT
    assert Backlog(5, 100, 2, 10).tokens == 100 + 5 * DECODE_WEIGHT


def test_without_candidates_there_is_no_choice() -> None:
    with pytest.raises(ValueError, match="empty"):
        least_backlog([], 0)

"""Things by rank: the order, how far a search goes, and what becomes of places that are out of date."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.ranks import SCAN, STALE, Ranks

steps = st.lists(st.tuples(st.integers(0, 4), st.none() | st.integers(0, 3)), max_size=500)


@given(steps)
def test_the_order_is_that_of_the_ranks_and_of_equal_ones_that_of_their_coming(taken) -> None:
    ranks: Ranks[int] = Ranks()
    valid: dict[int, tuple[int, int]] = {}
    for turn, (thing, rank) in enumerate(taken):
        if rank is not None:
            ranks.place(thing, rank)
            if valid.get(thing, (None, 0))[0] != rank:
                valid[thing] = rank, turn
        elif thing in ranks:
            ranks.drop(thing)
            del valid[thing]
        ordered = sorted(valid, key=valid.__getitem__)
        assert ranks.all() == ordered
        assert ranks.first() == (ordered[0] if ordered else None)
        assert len(ranks) == len(ordered)
        assert len(ranks._places) <= STALE + 2 * 5 + 1


def test_the_search_for_one_that_suits_is_bounded_and_leaves_the_order_as_it_was() -> None:
    ranks: Ranks[int] = Ranks()
    for thing in range(SCAN + 2):
        ranks.place(thing, 0.0)
    assert ranks.first_that(lambda thing: thing == SCAN - 1) == SCAN - 1
    assert ranks.first_that(lambda thing: thing == SCAN) is None
    assert ranks.all() == list(range(SCAN + 2))

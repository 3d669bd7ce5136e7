"""Start-time fair queueing: the bound it promises, and what idleness and settlement do to a lane."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.fair_order import FairOrder, Lane

weights = st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]), min_size=2, max_size=6)


def serve(order: FairOrder[Lane], work: float) -> Lane:
    lane = order.first()
    assert lane is not None
    order.charge(lane, work)
    return lane


@given(weights, st.lists(st.integers(1, 1000), min_size=20, max_size=200))
def test_lanes_that_always_wait_differ_by_at_most_one_request_each_over_every_interval(weights, works) -> None:
    order: FairOrder[Lane] = FairOrder()
    lanes = [Lane(weight) for weight in weights]
    for lane in lanes:
        order.join(lane)
    served = dict.fromkeys(lanes, 0.0)
    apart: dict[tuple[Lane, Lane], list[float]] = {(f, g): [0.0] for f in lanes for g in lanes if f is not g}
    for work in works:
        lane = serve(order, work)
        served[lane] += work / lane.weight
        for (f, g), seen in apart.items():
            seen.append(served[f] - served[g])
    for (f, g), seen in apart.items():
        assert max(seen) - min(seen) <= max(works) / f.weight + max(works) / g.weight + 1e-6


@given(weights, st.integers(1, 500), st.integers(1, 500))
def test_a_newcomer_waits_for_at_most_one_request_of_each_other_lane(weights, before, work) -> None:
    order: FairOrder[Lane] = FairOrder()
    others = [Lane(weight) for weight in weights]
    for lane in others:
        order.join(lane)
    for _ in range(before):
        serve(order, work)
    newcomer = Lane(0.1)
    order.join(newcomer)
    overtaken_by: list[Lane] = []
    while (lane := serve(order, work)) is not newcomer:
        overtaken_by.append(lane)
    assert len(overtaken_by) == len(set(overtaken_by))


def test_idling_saves_nothing_up() -> None:
    order: FairOrder[Lane] = FairOrder()
    busy, sleeper = Lane(1.0), Lane(1.0)
    order.join(busy)
    for _ in range(100):
        serve(order, 10)
    order.join(sleeper)
    turns = [serve(order, 10) for _ in range(10)]
    assert turns.count(sleeper) == 5


def test_a_debt_outlives_a_short_absence() -> None:
    order: FairOrder[Lane] = FairOrder()
    honest, greedy = Lane(1.0), Lane(1.0)
    order.join(honest)
    order.join(greedy)
    order.charge(greedy, 10)
    order.leave(greedy)
    order.settle(greedy, 100)
    order.join(greedy)
    turns = [serve(order, 10) for _ in range(12)]
    assert turns.index(greedy) == 11


def test_what_is_settled_back_is_had_back() -> None:
    order: FairOrder[Lane] = FairOrder()
    overcharged, other = Lane(1.0), Lane(1.0)
    order.join(overcharged)
    order.join(other)
    order.charge(overcharged, 1000)
    order.settle(overcharged, -990)
    turns = [serve(order, 10) for _ in range(10)]
    assert turns.count(overcharged) in (4, 5)


def test_what_is_settled_back_from_before_an_absence_does_not_jump_the_queue() -> None:
    order: FairOrder[Lane] = FairOrder()
    back, other = Lane(1.0), Lane(1.0)
    order.join(back)
    order.charge(back, 50)
    order.leave(back)
    order.join(other)
    for _ in range(100):
        serve(order, 10)
    order.join(back)
    order.settle(back, -50)
    assert back.start == order.virtual

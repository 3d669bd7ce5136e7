"""Promises of room, and the rate they are reckoned with."""

import pytest

from gateway.admission.bounds import Amount, Bound
from gateway.admission.drain_rate import FIRST_S, DrainRate, SequenceSpeed
from gateway.admission.promises import MOST, Account, Promises

ME = ("key", 10, 20)


def test_room_is_held_from_shortly_before_until_shortly_after() -> None:
    promises, account = Promises(), Account()
    promises.make(ME, 50.0, (account,), now=0.0, after_s=10.0)
    seen = []
    for now in (0.0, 8.9, 9.1, 12.9, 13.1):
        promises.advance(now)
        seen.append((account.promised.requests, account.due.requests, account.due.tokens))
    assert seen == [(1, 0, 0.0), (1, 0, 0.0), (1, 1, 50.0), (1, 1, 50.0), (0, 0, 0.0)]
    assert not promises.redeem(ME, 13.1)


def test_a_promise_is_kept_once_from_its_instant_on_and_only_to_the_same_request() -> None:
    promises, account = Promises(), Account()
    promises.make(ME, 50.0, (account,), now=0.0, after_s=10.0)
    assert not promises.redeem(ME, 9.9)
    assert not promises.redeem(("key", 11, 20), 10.0)
    assert promises.redeem(ME, 10.0)
    assert not promises.redeem(ME, 10.0)
    assert promises.outstanding == account.promised.requests == 0
    promises.advance(100.0)
    assert (promises.outstanding, account.due.requests) == (0, 0)


def test_promises_are_bounded() -> None:
    promises, account = Promises(), Account()
    made = [promises.make(ME, 1.0, (account,), now=0.0, after_s=10.0) for _ in range(MOST + 1)]
    assert made == [True] * MOST + [False]


def test_beyond_its_bound_a_promise_holds_no_room_and_is_kept_all_the_same() -> None:
    promises, all_of_them, account = Promises(), Account(), Account()
    other = ("key", 11, 20)
    for claim in (ME, ME, other):
        promises.make(claim, 50.0, (all_of_them, account), now=0.0, after_s=10.0, most=Bound(2, 1000))
    promises.advance(10.0)
    assert (account.promised.requests, account.due.requests, all_of_them.due.requests) == (3, 2, 2)
    assert promises.redeem(other, 10.0)
    assert (account.promised.requests, account.due.requests) == (2, 2)
    promises.advance(100.0)
    assert (promises.outstanding, account.promised.requests, account.due.requests) == (0, 0, 0)


def test_the_rate_begins_with_the_guess_and_becomes_what_is_measured() -> None:
    drain = DrainRate()
    assert drain.rate(0.0, 100.0) == 100.0
    drain.waiting(0.0, some=True)
    for second in range(1, 200):
        drain.left(float(second), 500.0)
    assert drain.rate(199.0, 100.0) == pytest.approx(500.0, rel=0.12)
    drain.waiting(199.0, some=False)
    assert drain.rate(10_000.0, 100.0) == drain.rate(199.0, 100.0)


def test_the_rate_follows_a_change_of_capacity_at_once() -> None:
    drain = DrainRate()
    drain.waiting(0.0, some=True)
    for second in range(1, 200):
        drain.left(float(second), 500.0)
    before = drain.rate(199.0, 500.0)
    drain.scale(2.0)
    assert drain.rate(199.0, 1000.0) == pytest.approx(2 * before)


def test_before_anything_has_ended_what_runs_is_thought_to_be_half_done() -> None:
    speed = SequenceSpeed()
    assert speed.guess(0.0, 0.0) == 0.0
    speed.started(0.0, 2)
    assert speed.guess(1.0, 1000.0) == 1000.0 / (2 * FIRST_S)
    assert speed.guess(10.0, 1000.0) == 1000.0 / 40.0


def test_short_answers_that_end_first_do_not_make_it_look_fast() -> None:
    speed = SequenceSpeed()
    for _ in range(10):
        speed.started(0.0, 1)
    speed.ended(0.0, 0.1, 1, 500.0)
    assert speed.guess(0.1, 4500.0) < 5000.0 / (9 * FIRST_S)


def test_the_excess_is_what_must_leave_by_number_and_by_tokens() -> None:
    held = Amount()
    for _ in range(4):
        held.add(100.0)
    assert Bound(10, 350).excess(50.0, held) == 100.0
    assert Bound(3, 10_000).excess(100.0, held) == 200.0
    assert Bound(5, 500).excess(100.0, held) == 0.0
    assert Bound(5, 500).fits(100.0, held)
    assert not Bound(5, 499).fits(100.0, held)
    assert Bound(0, 0).fits(10**9, Amount())

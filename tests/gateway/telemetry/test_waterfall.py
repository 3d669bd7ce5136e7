"""A record as a tree of times, and which records are kept."""

from typing import Any

import pytest

from gateway.errors import EngineLost, Internal, QueueFull, RateLimited, UnknownField
from gateway.telemetry.keeping import Kept, kept
from gateway.telemetry.record import Outcome
from gateway.telemetry.recorder import outcome
from gateway.telemetry.waterfall import Node, own_seconds, waterfall
from tests.gateway.telemetry.records import leg, record


def shape(node: Node) -> dict[str, tuple[float, float]]:
    return {child.name: (round(child.begin, 3), round(child.end, 3)) for child in node.children}


def test_stages_follow_each_other_without_a_gap() -> None:
    tree = waterfall(record(leg()))
    assert shape(tree) == {
        "auth": (100.0, 100.1),
        "receive": (100.1, 100.3),
        "validate": (100.3, 100.4),
        "admission": (100.4, 100.9),
        "render": (100.9, 100.99),
        "route": (100.99, 101.0),
        "engine": (101.0, 102.9),
        "finish": (102.9, 102.95),
    }
    engine = next(child for child in tree.children if child.name == "engine")
    assert shape(engine) == {"queue": (101.1, 101.2), "prefill": (101.2, 102.0), "decode": (102.0, 102.9)}


def test_the_gateways_own_time_is_what_it_did_not_wait() -> None:
    """auth 0.1, validate 0.1, render 0.09, route 0.01, finish 0.05: not the client's body, the queue and the engine."""
    assert own_seconds(waterfall(record(leg()))) == pytest.approx(0.35)


def test_a_client_that_reads_slowly_is_waited_for() -> None:
    tree = waterfall(record(leg(), waited=(102.92, 162.91), ended=162.92))
    assert list(shape(tree).items())[-2:] == [("finish", (102.9, 102.92)), ("send", (102.92, 162.92))]
    assert own_seconds(tree) == pytest.approx(0.32)


@pytest.mark.parametrize("waited", [(101.5, 102.0), (102.94, 102.9402)])
def test_a_wait_for_the_client_that_was_over_or_short_is_no_stage(waited: tuple[float, float]) -> None:
    """It is within the engine's time, or nothing that anybody would ask about."""
    tree = waterfall(record(leg(), waited=waited, ended=102.9402))
    assert [child.name for child in tree.children][-2:] == ["engine", "finish"]


def test_one_that_was_reading_slowly_before_the_last_token_is_waited_for_from_then_on() -> None:
    assert own_seconds(waterfall(record(leg(), waited=(101.5, 162.9), ended=162.9))) == pytest.approx(0.3)


def test_a_request_that_was_refused_ends_where_it_was() -> None:
    assert shape(waterfall(record()))["finish"] == (100.9, 101.0)


def test_a_request_that_is_refused_while_it_waits_waited_all_that_time() -> None:
    """Not a minute of the gateway's own."""
    marks = [("auth", 100.0), ("admission", 100.1), ("finish", 160.0)]
    tree = waterfall(record(marks=marks, ended=160.02, outcome=Outcome.REFUSED))
    assert shape(tree) == {"auth": (100.0, 100.1), "admission": (100.1, 160.0), "finish": (160.0, 160.02)}
    assert own_seconds(tree) == pytest.approx(0.12)


def test_a_failover_for_which_there_was_no_engine_was_parked() -> None:
    lost = leg(end="lost", ended=102.0)
    after = leg("two", 2, begin=112.01, asked=102.0, found=112.0)
    tree = waterfall(record(lost, after))
    parked, route = tree.children[-4], tree.children[-3]
    assert (parked.name, parked.begin, parked.end) == ("parked", 102.0, 112.0)
    assert (route.name, route.begin, route.end) == ("route", 112.0, 112.01)
    assert own_seconds(tree) < 1


@pytest.mark.parametrize("error", ["engine_lost", ""])
def test_who_never_got_another_engine_was_parked_until_it_was_given_up_or_its_client_left(error: str) -> None:
    lost = leg(end="lost", ended=102.0)
    made = record(lost, error=error, ended=122.1)
    made.marks.append(("finish", 122.0))
    assert shape(waterfall(made))["parked"] == (102.0, 122.0)
    assert shape(waterfall(made))["finish"] == (122.0, 122.1)


@pytest.mark.parametrize("more", [{"error": "engine_unavailable"}, {"outcome": Outcome.GONE}])
def test_who_never_got_any_engine_was_parked_until_it_was_given_up_or_left(more: dict[str, Any]) -> None:
    marks = [("auth", 100.0), ("admission", 100.1), ("render", 100.2), ("finish", 130.0)]
    tree = waterfall(record(marks=marks, ended=130.1, **more))
    assert shape(tree)["parked"] == (100.2, 130.0)
    assert own_seconds(tree) == pytest.approx(0.2)


def test_an_engine_without_statistics_tells_of_no_queue() -> None:
    (engine,) = [n for n in waterfall(record(leg(queued=None, scheduled=None))).children if n.name == "engine"]
    assert shape(engine) == {"prefill": (101.0, 102.0), "decode": (102.0, 102.9)}


def test_times_that_a_clock_puts_out_of_order_are_put_in_order() -> None:
    wrong = leg(queued=100.5, scheduled=100.4, first=103.5)
    (engine,) = [n for n in waterfall(record(wrong)).children if n.name == "engine"]
    edges = [edge for child in engine.children for edge in (child.begin, child.end)]
    assert edges == sorted(edges)
    assert (engine.begin, engine.end) == (min(edges), max(edges))


def test_a_failover_is_two_attempts_and_an_event() -> None:
    journal = [7] * 10
    lost = leg(tokens=4, end="lost")
    after = leg("two", 2, begin=104.0, had=4)
    lost.tokens = after.tokens = journal
    tree = waterfall(record(lost, after))
    engines = [child for child in tree.children if child.name == "engine"]
    assert [child.attributes["sluice.engine.id"] for child in engines] == ["one", "two"]
    names = [(event.name, event.at) for event in tree.events]
    assert ("failover", lost.ended) in names
    assert names.index(("failover", lost.ended)) > [name for name, _ in names].index("first_token")


def test_tokens_of_attempts_at_one_choice_are_counted_once() -> None:
    lost, after, other = leg(tokens=4, end="lost"), leg("two", 2, had=4), leg(tokens=3)
    lost.tokens = after.tokens
    made = record(lost, after, other)
    assert (made.totals.completion_tokens, made.totals.prompt_tokens, made.totals.failovers) == (13, 10, 1)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, None),
        ({"sampled": True}, Kept.SAMPLED),
        ({"outcome": Outcome.ERROR, "sampled": True}, Kept.ERROR),
        ({"guard": "throttle", "guard_refused": True, "outcome": Outcome.REFUSED}, Kept.GUARD),
        ({"guard": "strip"}, None),
        ({"outcome": Outcome.REFUSED}, None),
        ({"outcome": Outcome.INVALID}, None),
        ({"ended": 100.0 + 31}, Kept.SLOW),
        ({"legs": (leg(end="lost"), leg(attempt=2))}, Kept.FAILOVER),
    ],
)
def test_what_went_wrong_or_took_long_is_kept_whatever_the_lot_said(more: dict[str, object], why: Kept | None) -> None:
    assert kept(record(leg(), **more), 30.0) is why


@pytest.mark.parametrize(
    ("status", "failure", "expected"),
    [
        (200, None, Outcome.OK),
        (499, None, Outcome.GONE),
        (429, RateLimited("x"), Outcome.REFUSED),
        (200, QueueFull("x"), Outcome.REFUSED),
        (400, UnknownField("x"), Outcome.INVALID),
        (200, EngineLost("x"), Outcome.ERROR),
        (500, Internal("x"), Outcome.ERROR),
    ],
)
def test_outcomes(status: int, failure: Exception | None, expected: Outcome) -> None:
    assert outcome(status, failure) is expected  # type: ignore[arg-type]

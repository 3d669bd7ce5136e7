"""The latest requests: no words of theirs, failed ones kept longer, traces of those that the console asked."""

import json

from gateway.console.callers import MOST_KEYS, MOST_TENANTS, Callers
from gateway.console.recent import MOST, MOST_ASKED, Recent
from gateway.telemetry.record import Outcome
from gateway.telemetry.recorder import Recorder
from tests.gateway.telemetry.records import leg, record


def test_a_trace_is_a_tree_in_seconds_from_its_begin() -> None:
    recent = Recent()
    recent.ended(record(leg(), request_id="a"))
    trace = recent.trace("a")
    assert trace is not None
    tree = trace["tree"]
    assert (tree["begin"], tree["end"]) == (0.0, trace["seconds"])
    names = [child["name"] for child in tree["children"]]
    assert {"route", "engine", "finish"} <= set(names)
    engine = tree["children"][names.index("engine")]
    assert [child["name"] for child in engine["children"]][-2:] == ["prefill", "decode"]
    assert tree["events"][0]["name"] == "first_token"
    json.dumps(trace)


def test_nothing_that_was_said_is_kept() -> None:
    recent = Recent()
    said = record(leg(), request_id="a", body={"messages": [{"content": "secret"}]})
    Recorder(on_end=[recent.ended]).end(said, 200, None, complete=True)
    assert "secret" not in repr(recent.__dict__)
    assert "secret" not in json.dumps([recent.rows(0.0), recent.trace("a")])


def test_failures_outlast_what_went_well() -> None:
    recent = Recent()
    recent.ended(record(request_id="bad", outcome=Outcome.ERROR))
    for number in range(2 * MOST):
        recent.ended(record(request_id=str(number)))
    rows = recent.rows(0.0)
    assert len(rows) == MOST + 1
    assert "bad" in {row["id"] for row in rows}
    assert recent.trace("0") is None


def test_what_the_console_asked_is_found_whatever_else_came() -> None:
    recent = Recent()
    recent.want("mine")
    assert recent.trace("mine") is None, "it is not over"
    recent.ended(record(request_id="mine"))
    for number in range(2 * MOST):
        recent.ended(record(request_id=str(number)))
    assert recent.trace("mine") is not None
    for number in range(MOST_ASKED):
        recent.want(f"later {number}")
    assert recent.trace("mine") is None


def test_tenants_are_counted_and_bounded() -> None:
    callers = Callers()
    for number in range(MOST_TENANTS + 5):
        callers.ended(record(leg(), tenant=f"t{number}", key="k", tier="gold"))
    callers.ended(record(tenant="t9", key="other", tier="trial", outcome=Outcome.REFUSED))
    callers.ended(record(tenant=""))
    first, *_, last = callers.rows(0.0)
    assert (first["tenant"], first["tiers"], first["keys"]) == ("t9", ["gold", "trial"], ["other", "k"])
    assert (first["outcomes"]["ok"], first["outcomes"]["refused"]) == (1, 1)
    assert first["completion_tokens"] > 0
    assert last["tenant"] == "t5"
    for number in range(2 * MOST_KEYS):
        callers.ended(record(tenant="many", key=f"k{number}"))
    assert len(callers.rows(0.0)[0]["keys"]) == MOST_KEYS

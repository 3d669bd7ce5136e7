"""What a client may say of its trace, and what becomes of it."""

import random

import pytest

from gateway.config.telemetry import Traces
from gateway.telemetry.keeping import sampled
from gateway.telemetry.trace_context import Parent, headers_of, in_ratio, parent_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = Parent(TRACE, SPAN, sampled=True)


def read(*values: str, state: str = "") -> Parent | None:
    headers = [(b"traceparent", value.encode("latin-1")) for value in values]
    return parent_of([(b"host", b"x"), *headers, *([(b"tracestate", state.encode())] if state else [])])


def test_a_parent_is_read_with_its_decision_and_its_state() -> None:
    assert read(f"00-{TRACE}-{SPAN}-01") == PARENT
    assert read(f"00-{TRACE}-{SPAN}-00", state="a=1,b=2") == Parent(TRACE, SPAN, sampled=False, state="a=1,b=2")


def test_a_later_version_may_have_more_parts_and_other_flags() -> None:
    assert read(f"cc-{TRACE}-{SPAN}-03-what-the-future-brings") == PARENT


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_not_valid_is_no_parent(value: str) -> None:
    assert read(value) is None


def test_two_of_them_are_none() -> None:
    assert read(f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00") is None


def test_a_state_that_is_too_long_is_left_out() -> None:
    assert read(f"00-{TRACE}-{SPAN}-01", state="a=" + "x" * 600) == PARENT


def test_what_is_told_is_read_as_it_was_meant() -> None:
    told = headers_of(Parent(TRACE, SPAN, sampled=True, state="a=1"))
    assert parent_of([(name.encode(), value.encode()) for name, value in told.items()]) == Parent(
        TRACE, SPAN, sampled=True, state="a=1"
    )


def test_the_ratio_is_one_of_random_traces_and_grows_without_dropping_any() -> None:
    dice = random.Random(1)
    traces = [f"{dice.getrandbits(128):032x}" for _ in range(20_000)]
    tenth = {trace for trace in traces if in_ratio(trace, 0.1)}
    assert len(tenth) == pytest.approx(2000, rel=0.1)
    assert tenth <= {trace for trace in traces if in_ratio(trace, 0.2)}
    assert not any(in_ratio(trace, 0) for trace in traces)
    assert all(in_ratio(trace, 1) for trace in traces)


def test_a_clients_decision_goes_before_the_ratio_unless_it_is_not_trusted() -> None:
    none, whole = Traces(ratio=0), Traces(ratio=1)
    assert sampled(TRACE, PARENT, none)
    assert not sampled(TRACE, PARENT._replace(sampled=False), whole)
    assert not sampled(TRACE, PARENT, Traces(ratio=0, parent_based=False))
    assert sampled(TRACE, None, whole)

"""Each way in which a stream can be wrong is noticed, and named."""

import json
from typing import Any

import pytest

from loadtests.client import Exchange
from loadtests.suite.client import Leave
from loadtests.suite.plan import Plan, chat
from loadtests.suite.verify import changed, read_answer
from tests.loadtests.toy_chat import HEAD, call, chunk, stream, usage

PLAN = Plan(chat("toy", [], 3, exact=True), max_tokens=3, exact=True)
ROLE, ONE, TWO, END, USAGE = stream(3)


def ended(reason: str) -> dict[str, Any]:
    return chunk({"content": "."}, reason)


def read(*chunks: Any, done: bool = True, plan: Plan = PLAN) -> str:
    events = [json.dumps(one).encode() if isinstance(one, dict) else one for one in chunks] + [b"[DONE]"] * done
    exchange = Exchange(1.0, status=200, events=events, arrivals=[2.0 + place for place in range(len(events))])
    return read_answer(exchange, plan).problem


@pytest.mark.parametrize("text", ["1 2 4", "1 2 2 3 4", "2 1 3 4", ""])
def test_a_token_lost_doubled_or_out_of_order_shows_in_a_text_that_is_known(text: str):
    texts: dict[str, str] = {}
    assert changed(texts, "counting", "1 2 3 4") == changed(texts, "counting", "1 2 3 4") == ""
    assert changed(texts, "counting", text) == f"counting: {text!r}, and '1 2 3 4' the first time"
    assert changed(texts, "another", text) == ""


def test_a_right_stream_has_no_problem():
    assert read(ROLE, ONE, TWO, END, USAGE) == ""


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ((ROLE, ONE, TWO, END, USAGE, b"[DONE]", ONE), "no [DONE]"),
        ((ROLE, ONE, TWO, END, USAGE, b"[DONE]"), "an event after [DONE]"),
        ((ONE, ROLE, TWO, END, USAGE), "a token before the role"),
        ((ROLE, ROLE, ONE, TWO, END, USAGE), "a second role"),
        ((ROLE, ONE, END, TWO, USAGE), "after the finish reason"),
        ((ROLE, ONE, END, END, USAGE), "after the finish reason"),
        ((ROLE, ONE, TWO, USAGE), "usage before the end"),
        ((ROLE, ONE, TWO), "no finish reason"),
        ((ROLE, ONE, TWO, END), "no usage"),
        ((ROLE, ONE, TWO, END, USAGE, USAGE), "after the usage"),
        ((ROLE, ONE, TWO, END, usage(9, 3, 11)), "does not add up"),
        ((ROLE, ONE, TWO, END, usage(0, 3)), "does not add up"),
        ((ROLE, ONE, END, usage(9, 2)), "2 tokens instead of 3"),
        ((ROLE, ONE, TWO, TWO, END, USAGE), "4 events with tokens, and usage says 3"),
        ((ROLE, ONE, TWO | {"id": "chat-2"}, END, USAGE), "several answers"),
        ((ROLE, chunk({"content": "x"}, index=1), TWO, END, USAGE), "index 1"),
        ((ROLE, ONE, {"error": {"message": "lost"}}), "error event: {'message': 'lost'}"),
        ((ROLE, ONE, TWO, ended("abort"), USAGE), "finish reason 'abort'"),
        ((ROLE, ONE, TWO, ended("stop"), USAGE), "finish reason 'stop'"),
        ((ROLE, ONE, TWO, ended("tool_calls"), USAGE), "finish reason 'tool_calls'"),
        ((ROLE, b"{"), "not understood"),
        ((ROLE, HEAD | {"choices": [{"index": 0}]}), "not understood"),
    ],
)
def test_a_wrong_stream_is_named(chunks: tuple[Any, ...], said: str):
    end = chunks[-1] != ONE or b"[DONE]" not in chunks
    assert said in read(*chunks, done=end)


def test_more_tokens_than_allowed_are_noticed_where_the_number_is_not_exact():
    loose = Plan(chat("toy", [], 2), max_tokens=2)
    assert "3 tokens, and 2 were allowed" in read(ROLE, ONE, TWO, END, USAGE, plan=loose)


LOOSE = Plan(chat("toy", [], 9), max_tokens=9)
WEATHER = {"type": "function", "function": {"name": "get_weather"}}
OFFERED = Plan(chat("toy", [], 9, tools=[WEATHER]), max_tokens=9, calls=True)
PARIS = ('{"city": ', '"Paris"}')


@pytest.mark.parametrize("reason", ["abort", "error", "content_filter", "tool_calls"])
def test_a_stream_that_may_end_by_itself_ends_with_a_stop_or_at_its_limit(reason: str):
    for right in ("stop", "length"):
        assert read(ROLE, ONE, TWO, ended(right), USAGE, plan=LOOSE) == ""
    assert f"finish reason '{reason}'" in read(ROLE, ONE, TWO, ended(reason), USAGE, plan=LOOSE)


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        (call(*PARIS, name="get_we"), "a call of 'get_we', which was not offered"),
        (call('{"city": ', '"Par'), "not understood"),
        (call('"Paris"'), "arguments are"),
        (call(*PARIS, finish="stop"), "1 tool calls, and finish reason 'stop'"),
        (call(*PARIS, finish="abort"), "finish reason 'abort'"),
    ],
)
def test_a_tool_call_names_what_was_offered_and_can_be_read(chunks: list[Any], said: str):
    assert said in read(*chunks, plan=OFFERED)


def test_a_call_is_told_whole_and_one_that_the_limit_cut_was_not_made():
    def calls(chunks: list[Any], plan: Plan = OFFERED) -> Any:
        events = [*(json.dumps(one).encode() for one in chunks), b"[DONE]"]
        answer = read_answer(Exchange(1.0, 200, {}, events, [2.0] * len(events)), plan)
        return answer.problem or answer.calls

    function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert calls(call(*PARIS)) == [{"id": "c", "type": "function", "function": function}]
    assert calls(call('{"city": ', '"Par', finish="length")) == []
    assert "not offered" in calls(call(*PARIS), LOOSE)


def answered(status: int, body: bytes, headers: dict[bytes, bytes] | None = None, **plan: Any) -> str:
    content = chat("toy", [], 2) | {"stream": False, "stream_options": None}
    exchange = Exchange(1.0, status=status, headers=headers or {}, body=body)
    return read_answer(exchange, Plan(content, max_tokens=2, **plan)).problem


def test_an_expected_refusal_is_right_if_it_says_why_and_when():
    error = b'{"error": {"message": "no", "type": "invalid_request_error"}}'
    wanted = frozenset({400, 429})
    assert answered(400, error, statuses=wanted) == ""
    assert answered(429, error, {b"retry-after": b"3"}, statuses=wanted) == ""
    assert answered(429, error, statuses=wanted) == "status 429 without a Retry-After"
    assert "without message" in answered(400, b'{"error": {"message": "", "type": "x"}}', statuses=wanted)
    assert answered(200, b"{}", statuses=wanted).startswith("status 200")
    assert answered(400, error).startswith("status 400")


def test_what_a_client_has_seen_that_left_must_be_the_begin_of_a_right_stream():
    leaving = Plan(chat("toy", [], 3, exact=True), max_tokens=3, exact=True, leave=Leave(events=3))
    assert read(ROLE, ONE, TWO, done=False, plan=leaving) == ""
    assert "before the role" in read(ONE, ROLE, TWO, done=False, plan=leaving)
    assert "error event" in read(ROLE, {"error": {"message": "lost"}}, done=False, plan=leaving)
    assert read_answer(Exchange(1.0), leaving).problem == "", "it left before anything had come"
    assert read_answer(Exchange(1.0, status=503), leaving).problem.startswith("status 503")


def test_one_of_a_few_words_was_asked_for_and_no_other_is_right():
    choice = {"message": {"content": "maybe"}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}
    body = json.dumps({"choices": [choice], "usage": counts}).encode()
    assert answered(200, body, choices=("yes", "maybe")) == ""
    assert answered(200, body, choices=("yes", "no")) == "'maybe' is none of yes, no"


def test_an_answer_that_is_no_stream_needs_a_finish_reason_and_a_usage_that_adds_up():
    choice = {"message": {"content": "yes"}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}

    def said(**changes: Any) -> str:
        return answered(200, json.dumps({"choices": [choice], "usage": counts} | changes).encode())

    assert said() == ""
    for reason in (None, "abort", "tool_calls"):
        assert f"finish reason {reason!r}" in said(choices=[choice | {"finish_reason": reason}])
    assert "does not add up" in said(usage=counts | {"total_tokens": 4})

import json

import pytest

from loadtests.chaos.answers import read
from loadtests.chaos.kinds import Item, body
from loadtests.client import Exchange


def item(**fields) -> Item:
    return Item(0, "greedy", "ada", body("toy", "hi", {"max_tokens": 3, "ignore_eos": True, **fields}))


def chunk(text: str = "", finish: str | None = None, index: int = 0, **delta) -> dict:
    return {"choices": [{"index": index, "delta": {"content": text, **delta}, "finish_reason": finish}]}


def usage(tokens: int) -> dict:
    return {"choices": [], "usage": {"completion_tokens": tokens}}


def stream(*chunks: dict, done: bool = True, **more) -> Exchange:
    events = [json.dumps(one).encode() for one in chunks] + [b"[DONE]"] * done
    arrivals = [1.0 + number / 8 for number in range(len(events))]
    return Exchange(0.5, 200, events=events, arrivals=arrivals, ended=2.0, **more)


def test_a_whole_stream_has_no_problem_and_its_longest_pause_counts_from_sending():
    answer = read(stream(chunk("a"), chunk("b"), chunk("c", "length"), usage(3)), item())
    assert answer.complete
    assert answer.choices[0].text == "abc"
    assert (answer.usage, answer.pause_s) == (3, 0.5)


@pytest.mark.parametrize(
    ("exchange", "problem"),
    [
        (stream(chunk("abc", "length"), usage(3), done=False), "no [DONE]"),
        (stream(chunk("ab", "length"), usage(2)), "2 tokens of usage instead of 3"),
        (stream(chunk("abc"), usage(3)), "finish reasons [[]]"),
        (stream(chunk("ab", "length"), chunk("c", "length"), usage(3)), "finish reasons [['length', 'length']]"),
        (stream(chunk("abc", "length"), usage(3), error="connection lost"), "connection lost"),
        (stream(chunk("a"), {"error": {"code": "engine_lost"}}), "error event"),
        (stream({"choices": [{}]}), "not understood: KeyError"),
        (Exchange(0.0, 500, body=b'{"error": {"code": "internal_error"}}'), "status 500"),
        (Exchange(0.0, 503, body=b'{"error": {"code": "engine_lost"}}'), "status 503"),
    ],
)
def test_whatever_is_not_whole_is_told(exchange, problem):
    answer = read(exchange, item())
    assert problem in answer.problem
    assert not answer.complete


def test_a_refusal_that_says_when_to_come_back_is_no_problem_and_no_answer():
    full = Exchange(0.0, 429, headers={b"retry-after": b"7"}, body=b'{"error": {"code": "tenant_queue"}}')
    answer = read(full, item())
    assert (answer.refused, answer.problem, answer.complete) == ("tenant_queue", "", False)


def test_a_stream_that_waited_in_vain_was_refused_but_one_that_had_begun_failed():
    error = {"error": {"code": "deadline_expired"}}
    assert read(stream(error), item()).refused == "deadline_expired"
    assert "error event" in read(stream(chunk("a"), error), item()).problem


def test_tokens_told_by_logprobs_are_held_against_usage():
    def told(token: str, finish: str | None = None) -> dict:
        part = chunk(token, finish)
        part["choices"][0]["logprobs"] = {"content": [{"token": token}]}
        return part

    counted = item(logprobs=True)
    assert read(stream(told("a"), told("b"), told("c", "length"), usage(3)), counted).complete
    lost = read(stream(told("a"), told("c", "length"), usage(3)), counted)
    assert lost.problem == "2 tokens were told of, but usage says 3"


def test_parts_of_a_tool_call_are_put_together():
    calls = [
        chunk(tool_calls=[{"index": 0, "function": {"name": "get_weather"}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"city": '}}]),
        chunk(tool_calls=[{"index": 0, "function": {"arguments": '"Rome"}'}}], finish="tool_calls"),
        usage(3),
    ]
    (choice,) = read(stream(*calls), item()).choices.values()
    assert choice.calls == {0: ["get_weather", '{"city": "Rome"}']}


def test_answers_in_one_piece_and_of_several_choices_are_read_alike():
    whole = {
        "choices": [
            {"index": i, "message": {"content": text}, "finish_reason": "length"} for i, text in enumerate("xy")
        ],
        "usage": {"completion_tokens": 6},
    }
    in_one = read(Exchange(0.0, 200, body=json.dumps(whole).encode()), item(n=2, stream=False))
    streamed = read(stream(chunk("x", "length"), chunk("y", "length", index=1), usage(6)), item(n=2))
    assert in_one.complete
    assert in_one.same(streamed)
    assert not in_one.same(read(stream(chunk("x", "length"), chunk("z", "length", index=1), usage(6)), item(n=2)))

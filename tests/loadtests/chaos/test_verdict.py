import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.chaos.answers import Answer, Choice
from loadtests.chaos.verdict import NEAR_TIE, Place, beyond_chance, flipped, places

TIED, FAR = NEAR_TIE / 2, NEAR_TIE * 2


def told(text: str, finish: str = "length") -> Answer:
    return Answer({0: Choice(text, finish=[finish])}, usage=3)


def place(token: str, rival: str, gap: float) -> Place:
    return Place(token, ((token, -0.5), (rival, -0.5 - gap)))


def test_a_near_tie_at_the_first_difference_is_a_flip():
    alone = [place("the ", "a ", FAR), place("cat", "dog", TIED), place(" sat", " ran", FAR)]
    assert flipped(told("the cat sat"), told("the dog ran"), {0: alone})
    assert flipped(told("the dog ran"), told("the cat sat"), {0: alone}), "whichever of the two was the reference"


@pytest.mark.parametrize(
    "alone",
    [
        [],
        [place("the ", "a ", FAR), place("cat", "dog", FAR)],
        [place("the ", "a ", TIED), place("cat", "dog", FAR)],
        [place("the ", "a ", FAR), place("cat", "cow", TIED)],
        [place("a ", "the ", TIED), place("cat", "dog", TIED)],
        [place("the ", "a ", FAR), place("cat", "cow", FAR), place("dog", "cat", TIED)],
    ],
    ids=["none told", "no tie", "tie elsewhere", "a third token", "asked again it went elsewhere", "tie later"],
)
def test_all_else_is_altered(alone):
    assert not flipped(told("the cat sat"), told("the dog ran"), {0: alone})


def test_an_end_where_the_other_went_on_may_be_a_near_tie_too():
    alone = [place("yes", "no", FAR), place("<end>", " sir", TIED)]
    assert flipped(told("yes", "stop"), told("yes sir", "stop"), {0: alone})
    assert not flipped(told("yes", "stop"), told("yes but", "stop"), {0: alone})


def test_the_same_text_with_another_end_is_altered():
    alone = [place("yes", "no", FAR)]
    assert not flipped(told("yes", "stop"), told("yes", "length"), {0: alone})


def test_arguments_of_a_call_are_looked_for_in_the_middle_of_what_was_generated():
    def call(arguments: str) -> Answer:
        return Answer({0: Choice(calls={0: ["f", arguments]}, finish=["tool_calls"])})

    alone = [place('<call>{"n": "f", "a": {', "", FAR), place('"c": ', '"d"', FAR), place('"Rome', '"Oslo', TIED)]
    assert flipped(call('"c": "Rome"'), call('"c": "Oslo"'), {0: alone})
    assert not flipped(call('"c": "Rome"'), call('"c": "Bern"'), {0: alone})


def test_every_choice_that_differs_must_be_explained():
    def both(first: str, second: str) -> Answer:
        return Answer({0: Choice(first), 1: Choice(second)})

    alone = {0: [place("cat", "dog", TIED)], 1: [place("cat", "dog", FAR)]}
    assert flipped(both("cat", "cat"), both("dog", "cat"), alone)
    assert not flipped(both("cat", "cat"), both("dog", "dog"), alone)
    assert not flipped(both("cat", "cat"), told("cat"), alone)


def test_places_are_read_from_an_answer_with_logprobs():
    best = [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2.4}]
    reply = {"choices": [{"index": 1, "logprobs": {"content": [{"token": "a", "top_logprobs": best}]}}]}
    assert places(reply) == {1: [Place("a", (("a", -0.1), ("b", -2.4)))]}


@pytest.mark.parametrize(
    ("control", "faults", "beyond"),
    [
        ((0, 300), (0, 3000), False),
        ((1, 300), (12, 3000), False),
        ((0, 300), (60, 3000), True),
        ((0, 300), (1, 10), False),
        ((0, 300), (3, 30), True),
        ((0, 0), (5, 100), False),
    ],
)
def test_flips_may_be_as_frequent_as_in_the_control_and_a_little_by_chance(control, faults, beyond):
    assert beyond_chance(control, faults) is beyond


@given(st.integers(0, 40), st.integers(40, 400), st.integers(0, 40), st.integers(40, 400))
def test_equal_or_lower_rates_are_never_beyond_chance(flips, compared, fewer, others):
    if fewer * compared <= flips * others:
        assert not beyond_chance((flips, compared), (fewer, others))

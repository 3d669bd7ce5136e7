"""The generators: what is held out stays out, and every answer is right."""

import json
import re
from random import Random

import pytest

from deployments.demo_model import arithmetic, tool_dialogues
from deployments.demo_model.cases import held_out
from deployments.demo_model.dialogue import split_of
from deployments.demo_model.knowledge import FACTS
from deployments.demo_model.mixture import TASKS, sample, single

ENDLESS = sorted(set(TASKS) - {"listing", "table"})
"""Tasks with enough different questions to compare two samples of them."""


def question(task: str, split: str, rng: Random) -> str:
    return single(rng, split, task).messages[0].content


@pytest.mark.parametrize("task", ENDLESS)
def test_no_held_out_question_is_ever_taught(task: str) -> None:
    rng = Random(3)
    taught = {question(task, "train", rng) for _ in range(600)}
    assert taught.isdisjoint(question(task, "test", rng) for _ in range(200))


def test_a_pair_of_addends_is_held_out_in_both_orders() -> None:
    rng = Random(3)
    taught = {arithmetic.addends(rng, "train") for _ in range(3000)}
    kept = {arithmetic.addends(rng, "test") for _ in range(600)}
    assert taught.isdisjoint(kept | {(b, a) for a, b in kept})


def test_about_one_pair_in_ten_is_held_out() -> None:
    keys = [("sum", a, b) for a in range(100) for b in range(a, 100)]
    assert 0.08 < sum(split_of(key) == "test" for key in keys) / len(keys) < 0.12


def test_every_fact_is_taught_in_at_least_one_wording() -> None:
    taught = {answer for wording, answer in FACTS.items() if split_of((wording,)) == "train"}
    assert taught == set(FACTS.values())


def test_the_same_seed_gives_the_same_dialogues() -> None:
    assert [sample(Random(5), "train") for _ in range(20)] == [sample(Random(5), "train") for _ in range(20)]


@pytest.mark.parametrize("task", ["addition", "subtraction", "multiplication"])
def test_arithmetic_is_right(task: str) -> None:
    rng = Random(7)
    for _ in range(300):
        asked, answered = single(rng, "train", task).messages
        a, b = (int(number) for number in re.findall(r"\d+", asked.content))
        value = {"addition": a + b, "subtraction": a - b, "multiplication": a * b}[task]
        assert answered.content.rpartition("= ")[2] == str(value)


def test_reversed_and_spelled_words_hold_the_letters_of_the_word() -> None:
    rng = Random(7)
    for _ in range(100):
        asked, answered = single(rng, "test", "reversal").messages
        assert answered.content[::-1] in asked.content
        asked, answered = single(rng, "test", "spelling").messages
        assert answered.content.replace("-", "") in asked.content


def test_extracted_records_are_json_with_values_from_the_text() -> None:
    rng = Random(7)
    for _ in range(100):
        asked, answered = single(rng, "test", "extraction").messages
        record = json.loads(answered.content)
        assert record
        assert all(str(value) in asked.content for value in record.values())


def test_calls_use_a_function_that_is_offered_with_exactly_its_required_arguments() -> None:
    rng = Random(7)
    for _ in range(300):
        dialogue = tool_dialogues.tool_chat(rng, "train")
        required = {
            tool["function"]["name"]: set(tool["function"]["parameters"]["required"]) for tool in dialogue.tools
        }
        for message in dialogue.messages:
            for call in message.tool_calls:
                assert set(call.arguments) == required[call.name]


def test_held_out_cases_are_all_different_and_cover_every_task() -> None:
    cases = held_out(1, 20)
    assert len({repr(case) for case in cases}) == len(cases)
    assert {case.task for case in cases} >= {*TASKS, "tool_call", "parallel_calls", "tool_answer", "no_call"}

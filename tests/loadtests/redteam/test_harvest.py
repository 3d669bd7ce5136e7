import pytest

from gateway.guard.detector import Detector
from gateway.guard.observation import Observation
from gateway.guard.verdict import Level
from loadtests.redteam import harvest, library
from loadtests.redteam.target import Target
from tests.loadtests.redteam.test_target import server

START = 1_790_000_000.0
FULL_SPEED_PER_S = 20
ENOUGH = 1000 * harvest.LENGTH
"""Tokens of answers, after which a student is still below the bar: 78 %."""


def test_prompts_are_new_and_repeatable_and_end_with_a_word_of_the_models():
    words = library.words()[len(library.SPECIAL) :]
    asked = harvest.prompts(200, "a", words)
    assert asked == harvest.prompts(200, "a", words) != harvest.prompts(200, "b", words)
    assert len(set(asked)) == 200
    assert {prompt.rpartition(" ")[2] for prompt in asked} <= set(words)


@pytest.mark.parametrize("length", [harvest.LENGTH, 40])
def test_a_fast_harvest_is_throttled_while_its_student_is_poor(length):
    judge, taken = Detector(secret=b"s"), 0
    words = library.words()[len(library.SPECIAL) :]
    for taken, prompt in enumerate(harvest.prompts(ENOUGH // length, "harvest 1", words)):
        asked = harvest.body(prompt)
        messages = tuple((each["role"], each["content"]) for each in asked["messages"])
        at = START + taken / FULL_SPEED_PER_S
        judge.take(Observation("k", "t", "m", at, messages, 12, length, length, "length", asked["temperature"]))
        if taken % 16 == 0 and judge.judge(at, ["k"]) and judge.verdict("k").level >= Level.THROTTLE:
            break
    assert taken * length < 0.8 * ENOUGH


async def test_a_refusal_is_waited_for_once_and_then_believed(monkeypatch):
    monkeypatch.setattr(harvest, "PATIENCE_S", 0.0)
    words = library.words()[len(library.SPECIAL) :]
    answer = {"choices": [{"message": {"content": "a b"}}]}
    async with server(5, answer) as (port, _):
        target = Target(port, "m", ("k",), width=2)
        found = await harvest.harvest(target, harvest.prompts(20, "a", words))
        target.close()
    assert len(found) == 5
    assert sum(target.books.refusals.values()) >= 2

from loadtests.redteam import student
from loadtests.redteam.harvest import TEMPLATES, prompts
from loadtests.redteam.student import Pair


def test_harvested_prompts_are_many_and_repeatable():
    asked = prompts(200, "a")
    assert asked == prompts(200, "a")
    assert asked != prompts(200, "b")
    assert len(set(asked)) > 100
    assert len(TEMPLATES) == 8


def test_a_student_learns_what_it_was_shown_and_nothing_else():
    shown = [Pair(f"Say {word}.", f"{word} {word}") for word in "river lantern castle window turtle copper".split()]
    strange = [Pair("Name a month.", "April comes after March."), Pair("Spell fox.", "f-o-x")]
    weights = student.taught(shown, seed=1, steps=120)
    assert student.agreement(weights, shown) > 0.95
    assert student.agreement(weights, strange) < 0.5

import numpy as np

from loadtests.redteam import student

WORDS = ("a", "b", "c", "d")
CHOICES = np.array([1, 2, 3, 0])
TEXTS = np.array([[0, 1, 2, 3], [3, 3, 0, 0]])


def test_a_student_learns_what_came_most_often_and_nothing_else():
    assert student.taught(["a b a b a c", "b a"]) == {"a": "b", "b": "a"}


def test_a_student_agrees_where_it_has_learned_what_the_teacher_would_choose():
    assert student.agreement({}, CHOICES, TEXTS, WORDS) == 0.0
    assert student.agreement({"d": "a", "a": "c"}, CHOICES, TEXTS, WORDS) == 3 / 8
    assert student.agreement(student.taught(["a b c d a"]), CHOICES, TEXTS, WORDS) == 1.0

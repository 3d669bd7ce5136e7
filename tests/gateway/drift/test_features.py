"""What is made of a text, and that it cannot be had back."""

import numpy as np
import pytest

from gateway.drift.features import DIMENSIONS, Seen, embed, refuses, sample
from gateway.drift.scripts import CLASSES, script_of


def script(text: str) -> str:
    return CLASSES[script_of(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What is the capital of France?", "latin"),
        ("Où est passée la forêt, là-bas derrière?", "latin_accented"),
        ("Привет, мир", "cyrillic"),
        ("Καλημέρα κόσμε", "greek"),
        ("你好,世界", "han"),
        ("これは日本語の文です", "japanese"),
        ("안녕하세요", "hangul"),
        ("مرحبا بالعالم", "arabic"),
        ("שלום עולם", "hebrew"),
        ("नमस्ते दुनिया", "indic"),
        ("สวัสดีชาวโลก", "thai"),
        ("123 + 456 = x", "digits"),
        ("{}[]; ==", "symbols"),
        ("", "none"),
    ],
)
def test_a_text_is_of_the_script_of_most_of_its_letters(text: str, expected: str) -> None:
    assert script(text) == expected


@pytest.mark.parametrize(
    "answer",
    ["I'm sorry, but I can't help with that.", "As an AI, I must", "Es tut mir leid, das geht nicht.", "抱歉,我不能"],
)
def test_refusals_are_known_by_how_they_begin(answer: str) -> None:
    assert refuses(answer)


@pytest.mark.parametrize("answer", ["42", "Here is a function that sorts.", "x" * 300 + " I'm sorry"])
def test_answers_are_not_refusals(answer: str) -> None:
    assert not refuses(answer)


def test_texts_of_one_kind_are_closer_than_texts_of_two() -> None:
    one, same = embed("the budget of the next quarter"), embed("the budget for the last quarter")
    other = embed("пожалуйста переведи этот текст")
    assert one @ same > 0.5 > one @ other


def test_an_embedding_is_the_same_in_every_process_and_of_length_one() -> None:
    """It is compared with what an earlier process saved."""
    found = embed("hello world")
    assert found.shape == (DIMENSIONS,)
    assert np.linalg.norm(found) == pytest.approx(1)
    assert np.flatnonzero(found).tolist() == [8, 10, 19, 33, 35, 41, 52, 54, 55]
    assert not embed("ab").any()


def test_a_row_holds_no_text() -> None:
    secret = "my card is 4111 1111 1111 1111"
    row = sample(Seen(secret, "I'm sorry", 12, 3, "stop"), 5.0)
    held = row.tobytes()
    assert not any(word.encode() in held for word in secret.split())
    assert (row["prompt_tokens"][0], row["output_tokens"][0], row["refused"][0], row["at"][0]) == (12, 3, 1, 5.0)
    assert row.nbytes < 200


def test_text_that_is_no_valid_unicode_is_looked_at_all_the_same() -> None:
    assert sample(Seen("broken \ud800 surrogate", "", 1, 1, "strange"), 0.0).size == 1

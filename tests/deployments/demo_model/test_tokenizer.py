"""The committed tokenizer: any text survives it, digits stand alone, and training cuts text as serving does."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from deployments.demo_model import BF16, INT8
from deployments.demo_model.mixture import sample
from deployments.demo_model.rendering import Segment, segments
from deployments.demo_model.tokenizer import MARKUP, SPECIAL, VOCAB_SIZE, encode

TOKENIZER = Tokenizer.from_file(str(BF16 / "tokenizer.json"))


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@pytest.mark.parametrize("text", ["naïve café", "日本語", "👩‍🚀🚀", "a\r\n\tb  c", "\x00\x7f", 'x = {"a": [1, 2]}'])
def test_awkward_text_round_trips(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


@given(st.integers(min_value=0, max_value=10**12))
@settings(max_examples=50, deadline=None)
def test_each_digit_is_a_token(number: int) -> None:
    assert TOKENIZER.encode(str(number)).tokens == list(str(number))


def test_it_has_its_size_and_both_formats_share_them() -> None:
    assert TOKENIZER.get_vocab_size() == VOCAB_SIZE <= 2048
    assert (BF16 / "tokenizer.json").read_bytes() == (INT8 / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("mark", MARKUP)
def test_tool_marks_are_single_tokens_that_detokenizing_keeps(mark: str) -> None:
    ids = TOKENIZER.encode(mark).ids
    assert len(ids) == 1
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == mark


@pytest.mark.parametrize("mark", SPECIAL)
def test_chat_marks_are_special(mark: str) -> None:
    ids = TOKENIZER.encode(mark).ids
    assert len(ids) == 1
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == ""


def test_training_cuts_text_as_serving_does() -> None:
    rng = Random(11)
    dialogues = [[piece._replace(letterwise=False) for piece in segments(sample(rng, "train"))] for _ in range(200)]
    for pieces, (ids, learned) in zip(dialogues, encode(TOKENIZER, dialogues), strict=True):
        assert TOKENIZER.encode("".join(piece.text for piece in pieces)).ids == ids
        assert len(learned) == len(ids)


def test_a_letterwise_answer_is_cut_into_letters() -> None:
    [(ids, learned)] = encode(
        TOKENIZER, [[Segment("a ", learned=False), Segment("hello", learned=True, letterwise=True)]]
    )
    assert [TOKENIZER.id_to_token(token) for token, wanted in zip(ids, learned, strict=True) if wanted] == list("hello")

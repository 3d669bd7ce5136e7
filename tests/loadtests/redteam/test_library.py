from random import Random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from deployments.demo_model.model import Shape
from deployments.demo_model.network import Network
from loadtests.redteam import library

SMALL = Shape(vocabulary=512, width=64, inner=16, layers=1, heads=1, kv_heads=1, head=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models") / "library"
    library.make(made, 3, SMALL)
    return made


def test_each_of_its_words_is_one_token_and_comes_back_as_itself(folder):
    words = library.words(SMALL)
    assert len(set(library.words())) == library.SHAPE.vocabulary
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    text = " ".join(words[len(library.SPECIAL) :])
    assert tokenizer.encode(text).ids == list(range(len(library.SPECIAL), SMALL.vocabulary))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_what_comes_next_depends_on_the_last_word_alone(folder):
    true = library.scores(folder)
    network = Network(load_file(folder / "model.safetensors"), SMALL)
    ids = torch.randint(3, SMALL.vocabulary, (2, 9), generator=torch.Generator().manual_seed(1))
    np.testing.assert_allclose(network.logits(network.hidden(ids)).numpy(), true[ids.numpy()], atol=1e-4)


def test_its_texts_are_drawn_from_its_scores(folder):
    true = library.scores(folder)
    texts = library.written(true, Random(1), 40, 200)
    best = true.argmax(1)
    share = np.exp(true - true.max(1, keepdims=True))
    expected = (share.max(1) / share.sum(1))[texts[:, :-1]].mean()
    assert (best[texts[:, :-1]] == texts[:, 1:]).mean() == pytest.approx(expected, abs=0.03)
    assert texts[:, 1:].min() >= len(library.SPECIAL)

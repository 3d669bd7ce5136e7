"""A model made to be harvested: random weights from a seed, in which a student finds something new for a thousand answers and more.

Most of an answer of the demo model is its form, which a student has after a dozen of them, whoever gives them. Models that are
worth stealing are not used up so soon. This one has a million weights, a word for each token, and a choice of the next word that
depends on the last one alone; so the best student of it is known, and so is what any number of answers is worth.
"""

from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from deployments.demo_model.model import Shape, config, fresh
from deployments.demo_model.rendering import END
from deployments.demo_model.tokenizer import PAD
from loadtests.redteam.algebra import Matrix

SHAPE = Shape(vocabulary=8192, width=64, inner=64, layers=1, heads=1, kv_heads=1, head=64)
STRANGE = "<|strange|>"
SPECIAL = (PAD, END, STRANGE)
_SPREAD = 0.5
_SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvz" for vowel in "aeiou"]


def words(shape: Shape = SHAPE) -> list[str]:
    """By token id; the first few are no words."""
    count, step = len(_SYLLABLES), 7919
    spelled = []
    for number in range(shape.vocabulary - len(SPECIAL)):
        place = number * step % count**3
        spelled.append("".join(_SYLLABLES[place // count**power % count] for power in range(3)))
    return [*SPECIAL, *spelled]


def make(folder: Path, seed: int, shape: Shape = SHAPE) -> None:
    """Weights are float32. Attention and the layers' networks write nothing; what is no word is never said."""
    source = torch.Generator().manual_seed(seed)
    weights = fresh(shape, seed)
    for name, tensor in weights.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor.zero_()
    weights["model.embed_tokens.weight"] = torch.randn(shape.vocabulary, shape.width, generator=source)
    head = torch.randn(shape.vocabulary, shape.width, generator=source) * _SPREAD
    head[: len(SPECIAL)] = 0.0
    weights["lm_head.weight"] = head
    tokenizer = _tokenizer(shape)
    folder.mkdir(parents=True)
    described = config(tokenizer, shape)
    described.dtype = torch.float32
    described.save_pretrained(folder)
    GenerationConfig(bos_token_id=0, pad_token_id=0, eos_token_id=[1, 0]).save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=PAD,
        eos_token=END,
        pad_token=PAD,
        unk_token=STRANGE,
        model_max_length=shape.context,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = "{{ messages[-1]['content'] }}"
    wrapped.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _tokenizer(shape: Shape) -> Tokenizer:
    spelled = {f"▁{word}" if number >= len(SPECIAL) else word: number for number, word in enumerate(words(shape))}
    tokenizer = Tokenizer(models.WordLevel(spelled, unk_token=STRANGE))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def scores(folder: Path) -> Matrix:
    """Of each token (column) after each (row), by our own arithmetic: what no attack reads before its result is judged."""
    weights = load_file(folder / "model.safetensors")
    said = weights["model.embed_tokens.weight"].numpy()
    unit = said / np.sqrt((said**2).mean(1, keepdims=True) + 1e-6)
    return np.asarray(unit @ weights["lm_head.weight"].numpy().T)


def written(true: Matrix, rng: Random, texts: int, length: int) -> NDArray[np.intp]:
    """Token ids of texts as the model writes them at temperature 1, each after a word of its own."""
    noise = np.random.default_rng(rng.getrandbits(64))
    now = noise.integers(len(SPECIAL), len(true), texts)
    places = [now]
    for _ in range(length):
        now = (true[now] + noise.gumbel(size=(texts, len(true)))).argmax(1)
        places.append(now)
    return np.stack(places, axis=1)

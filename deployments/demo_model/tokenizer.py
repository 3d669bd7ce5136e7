"""The byte-level BPE tokenizer: 2,048 tokens, digits one by one, newlines alone, every byte covered."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from deployments.demo_model.mixture import sample
from deployments.demo_model.rendering import END, START, Segment, segments, text

VOCAB_SIZE = 2048
PAD = "<|endoftext|>"
SPECIAL = (PAD, START, END)
MARKUP = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")
"""Single tokens, but not special ones: a detokenizer that skips special tokens must keep them."""

PIECES = r"\n|\p{N}|[ ]?[\p{L}_]+|[^\p{L}\p{N}_\n]+(?=[ ][\p{L}_])|[^\p{L}\p{N}_\n]+"
"""Newlines and digits alone; words with the blank before them; runs of punctuation with their blanks,
so that JSON syntax costs few tokens."""

_CORPUS_DIALOGUES = 12_000
_TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def train_tokenizer(seed: int, dialogues: int = _CORPUS_DIALOGUES) -> Tokenizer:
    """Learn the merges from generated dialogues."""
    rng = Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(MARKUP),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_plain(text(sample(rng, "train"))) for _ in range(dialogues)), trainer)
    tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False) for mark in MARKUP])
    return tokenizer


def _plain(rendered: str) -> str:
    for mark in (*SPECIAL, *MARKUP):
        rendered = rendered.replace(mark, "\n")
    return rendered


def wrap(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers and vLLM load it, with the chat template."""
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=PAD,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = _TEMPLATE.read_text(encoding="utf-8")
    return wrapped


def encode(tokenizer: Tokenizer, pieces: list[list[Segment]]) -> Iterator[tuple[list[int], list[bool]]]:
    """Token ids of each dialogue, and which of them are learned."""
    units = [_units(piece) for piece in pieces]
    encoded = iter(tokenizer.encode_batch_fast([unit for unit, _ in chain.from_iterable(units)]))
    for dialogue in units:
        ids: list[int] = []
        learned: list[bool] = []
        for (_, wanted), encoding in zip(dialogue, encoded, strict=False):
            ids += encoding.ids
            learned += [wanted] * len(encoding.ids)
        yield ids, learned


def _units(pieces: list[Segment]) -> list[tuple[str, bool]]:
    units: list[tuple[str, bool]] = []
    for piece in pieces:
        units += [(unit, piece.learned) for unit in (piece.text if piece.letterwise else [piece.text])]
    return units


def encode_dialogues(tokenizer: Tokenizer, rng: Random, count: int) -> list[tuple[list[int], list[bool]]]:
    """`count` fresh training dialogues as tokens."""
    return list(encode(tokenizer, [list(segments(sample(rng, "train"))) for _ in range(count)]))

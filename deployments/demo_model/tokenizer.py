"""The byte-level BPE tokenizer: digits and newlines alone, every byte covered, and words cut alike wherever they stand."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from deployments.demo_model.mixture import sample
from deployments.demo_model.rendering import END, START, Segment, segments, text
from deployments.demo_model.vocabulary import CITIES, ITEMS, NAMES, WORDS, invented

VOCAB_SIZE = 1536
PAD = "<|endoftext|>"
SPECIAL = (PAD, START, END)
MARKUP = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<tools>", "</tools>")
"""Single tokens, but not special ones: a detokenizer that skips special tokens must keep them."""

SYNTAX = (
    '{"type": "function", "function": {"name": "',
    '", "description": "',
    '", "parameters": {"type": "object", "properties": {"',
    '": {"type": "string"',
    '": {"type": "integer"',
    '}, "required": ["',
    '"]}}}',
    ', "description": "',
    '{"name": "',
    '", "arguments": {"',
)
"""What every function signature and call repeats, one token each: a list of functions is long enough without it."""

COMMON = (
    "I JSON a about after an and answer are as assistant at backwards before below by call called can capital comes count "
    "current day demo do does dollars down for found from has have help how i in is it its json keys like list lived "
    "lives many may me message minus minutes model month much multiplication my name named near not number numbers object "
    "of old on one only opposite or person please plus put reverse sent small spell subtract sum system table tell that "
    "the there this time timer times to tool up was way weather what which who with word words x years you your city"
)
_WITH_BLANK = "|".join(COMMON.split())
PIECES = (
    rf"\n|\p{{N}}|[ ](?:{_WITH_BLANK})(?![\p{{L}}_])|[\p{{L}}_]+|[^\p{{L}}\p{{N}}_\n]+(?=[ ](?:{_WITH_BLANK})(?![\p{{L}}_]))"
    r"|[^\p{L}\p{N}_\n]+"
)
"""Newlines and digits alone. Only the commonest words take the blank before them along: all other words are cut into
the same pieces after a blank, a quotation mark or a line's start, so that copying one means repeating its tokens.
Runs of punctuation stay together with their blanks, so that JSON costs few tokens."""

_CORPUS_DIALOGUES = 12_000
_TEMPLATE = Path(__file__).with_name("chat_template.jinja")
_CONTENT = frozenset((*NAMES, *CITIES, *WORDS, *ITEMS)) - set(COMMON.split())


def train_tokenizer(seed: int, dialogues: int = _CORPUS_DIALOGUES) -> Tokenizer:
    """Learn the merges from generated dialogues."""
    rng = Random(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    added = [AddedToken(mark, normalized=False, special=False) for mark in (*MARKUP, *SYNTAX)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(added),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((_plain(rng, text(sample(rng, "train"))) for _ in range(dialogues)), trainer)
    tokenizer.add_tokens(added)
    return tokenizer


def _plain(rng: Random, rendered: str) -> str:
    """The text without marks, and with made-up words for those that fill the dialogues: none of these is to become a
    token, for the letters of a token can only be learned by heart.
    """
    for mark in (*SPECIAL, *MARKUP, *SYNTAX):
        rendered = rendered.replace(mark, "\n")
    return re.sub(r"[A-Za-z]+", lambda found: invented(rng) if found[0] in _CONTENT else found[0], rendered)


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

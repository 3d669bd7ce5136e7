"""Training batches: fresh dialogues, sorted by length so that little is padded, about equally many tokens in each."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import torch
from tokenizers import Tokenizer

from deployments.demo_model.tokenizer import PAD, encode_dialogues

IGNORED = -100
MEAN_LENGTH = 100
"""Tokens of a dialogue, about."""


class Batch(NamedTuple):
    """Token ids padded on the right, and the token to predict at each place (`IGNORED` where none is learned)."""

    ids: torch.Tensor
    labels: torch.Tensor


def batches(tokenizer: Tokenizer, rng: Random, tokens: int, pool: int = 24) -> Iterator[Batch]:
    """Batches without end, each of at most `tokens` places; `pool` batches' worth is sorted at a time."""
    pad: int = tokenizer.encode(PAD).ids[0]
    while True:
        rows = encode_dialogues(tokenizer, rng, pool * tokens // MEAN_LENGTH)
        rows.sort(key=lambda row: (len(row[0]), rng.random()))
        cut = list(_cut(rows, tokens))
        rng.shuffle(cut)
        yield from (_tensors(rows, pad) for rows in cut)


Row = tuple[list[int], list[bool]]


def _cut(rows: list[Row], tokens: int) -> Iterator[list[Row]]:
    held: list[Row] = []
    for row in rows:
        if held and len(row[0]) * (len(held) + 1) > tokens:
            yield held
            held = []
        held.append(row)
    yield held


def _tensors(rows: list[Row], pad: int) -> Batch:
    width = max(len(ids) for ids, _ in rows) - 1
    ids = torch.full((len(rows), width), pad)
    labels = torch.full((len(rows), width), IGNORED)
    for index, (tokens, learned) in enumerate(rows):
        ids[index, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        after = torch.tensor(tokens[1:])
        after[~torch.tensor(learned[1:])] = IGNORED
        labels[index, : len(after)] = after
    return Batch(ids, labels)

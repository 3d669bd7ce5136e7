"""A small network trained on stolen answers, and how often it says what the teacher would."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

import torch
from tokenizers import Tokenizer

from deployments.demo_model import BF16
from deployments.demo_model.batches import IGNORED, Batch
from deployments.demo_model.model import Shape, Tensors, fresh
from deployments.demo_model.network import Network
from deployments.demo_model.rendering import END, START
from deployments.demo_model.train import Plan, train

SHAPE = Shape(width=128, inner=256, layers=2, heads=2, kv_heads=1, context=512)
STEPS, PLACES = 200, 3072


class Pair(NamedTuple):
    prompt: str
    answer: str


def taught(pairs: Sequence[Pair], seed: int, steps: int = STEPS) -> Tensors:
    """Weights of a student that has seen these answers, over and over, for `steps` batches of PLACES tokens."""
    torch.set_num_threads(1)
    weights = fresh(SHAPE, seed)
    for _ in train(weights, SHAPE, _batches(pairs, Random(seed)), Plan(steps=steps, places=PLACES, seed=seed)):
        pass
    return weights


def agreement(student: Tensors, pairs: Sequence[Pair]) -> float:
    """Share of the teacher's answer tokens that the student would have said next, given all before them."""
    network = Network(student, SHAPE)
    hits = total = 0
    with torch.no_grad():
        for at in range(0, len(pairs), 32):
            batch = _batch([_row(pair) for pair in pairs[at : at + 32]])
            wanted = batch.labels != IGNORED
            said = network.logits(network.hidden(batch.ids)[wanted]).argmax(-1)
            hits += int((said == batch.labels[wanted]).sum())
            total += int(wanted.sum())
    return hits / total


_TOKENIZER = Tokenizer.from_file(str(BF16 / "tokenizer.json"))


def _row(pair: Pair) -> tuple[list[int], int]:
    """Token ids, and where the answer begins."""
    prompt = _TOKENIZER.encode(pair.prompt + START).ids
    return (prompt + _TOKENIZER.encode(pair.answer + END).ids)[: SHAPE.context], len(prompt)


def _batches(pairs: Sequence[Pair], rng: Random) -> Iterator[Batch]:
    """Shuffled again in each pass, cut to about PLACES tokens."""
    rows = [_row(pair) for pair in pairs]
    while True:
        rng.shuffle(rows)
        held: list[tuple[list[int], int]] = []
        for row in rows:
            if held and (len(held) + 1) * max(len(ids) for ids, _ in [*held, row]) > PLACES:
                yield _batch(held)
                held = []
            held.append(row)
        yield _batch(held)


def _batch(rows: Sequence[tuple[list[int], int]]) -> Batch:
    width = max(len(ids) for ids, _ in rows) - 1
    inputs, labels = torch.zeros((len(rows), width), dtype=torch.long), torch.full((len(rows), width), IGNORED)
    for index, (tokens, begin) in enumerate(rows):
        inputs[index, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        labels[index, begin - 1 : len(tokens) - 1] = torch.tensor(tokens[begin:])
    return Batch(inputs, labels)

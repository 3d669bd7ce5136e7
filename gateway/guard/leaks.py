"""How much of a model's output layer each account has been given, and how much it ever will be. Pure arithmetic.

A model of hidden size h and vocabulary V answers with z = W x, W of V rows and h columns: whoever has h·V independent
numbers of it has W up to a change of basis (Carlini et al. 2024, Finlayson et al. 2024), and (h+1)² suffice for h itself.

    scalars   one logprob is one number:                                   at most share · h · V     of them
    answers   of log2 V bits each, where a logit is told by about
              BITS_PER_LOGIT bits:                                         at most share · h · V · BITS_PER_LOGIT / log2 V

Under a bias each token is an answer: which of V tokens won tells log2 V bits at most, of logits that the client has moved. A
constraint moves none; it says which tokens are compared, and what that adds to plain text is the outcome of one comparison, a
bit a token: log2 V tokens are an answer, and no sequence is less than one. So JSON may be log2 V times as long as biased
text. A penalty on what the answer has said is steered once: one answer a sequence.

Sampling that is cut off at a probability compares each token with the cut, exactly. K different cuts leave a logit between two
of K, or, where a cut is a sum of others' probabilities, on one side of K sums: FREE_SETTINGS of them are any account's, like
the temperatures and cuts that its applications use. Each further one is a step of a search, and costs an answer a sequence.

Never refilled within one version of a model: what has been told stays told. A request is charged with the most it can
take, and gets back what it did not. Where the width itself is the secret (`secret: width`), h² stands in place of h · V.
"""

import math
from typing import Final, Literal, NamedTuple

from gateway.guard.exclusion import Ask

BITS_PER_LOGIT: Final = 10.0
FREE_SETTINGS: Final = 16


class Shape(NamedTuple):
    """A model's output layer: `version` stays while its numbers do. `former`: what earlier releases called the same version.
    `cuts`: its own defaults cut the distribution off.
    """

    model: str
    version: str
    hidden: int
    vocabulary: int
    former: str = ""
    cuts: bool = False


class Charge(NamedTuple):
    scalars: int = 0
    answers: int = 0

    def __bool__(self) -> bool:
        return self.scalars > 0 or self.answers > 0


def limits(shape: Shape, share: float, kept: Literal["projection", "width"]) -> Charge:
    numbers = share * shape.hidden * (shape.hidden if kept == "width" else shape.vocabulary)
    return Charge(int(numbers), int(numbers * BITS_PER_LOGIT / math.log2(shape.vocabulary)))


def most(ask: Ask, sequences: int, longest: int, vocabulary: int) -> Charge:
    """What a request may take; `longest`: tokens of one answer if it names no limit."""
    tokens = longest if ask.limit is None else min(ask.limit, longest)
    return _charge(ask, sequences, sequences * tokens, vocabulary)


def taken(ask: Ask, sequences: int, completion: int, vocabulary: int) -> Charge:
    """What it took: `completion` tokens over all its sequences."""
    return _charge(ask, sequences, completion, vocabulary)


def given(shape: Shape, used: Charge) -> float:
    """The share of the output layer that so much can tell: 1 is all of it."""
    numbers = used.scalars + used.answers * math.log2(shape.vocabulary) / BITS_PER_LOGIT
    return numbers / (shape.hidden * shape.vocabulary)


def _charge(ask: Ask, sequences: int, tokens: int, vocabulary: int) -> Charge:
    if ask.moved:
        answers = tokens
    elif ask.constraint:
        answers = max(sequences, math.ceil(tokens / math.log2(vocabulary)))
    else:
        answers = sequences if ask.penalty or ask.searching else 0
    return Charge(ask.scalars * tokens, answers)

"""Is an answer what it would have been? Pure.

Where two answers to one request differ, the request is asked again, alone, with the two best candidates of each place. If a place
on the way to the first difference has its two best within NEAR_TIE of each other, and the one not taken agrees with the other
answer, a rounding tipped the scales: that happens under any change of batch, and is counted as a flip. All else is altered.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadtests.chaos.answers import Answer

NEAR_TIE: Final = 0.1
"""Difference of log probabilities; bf16 keeps eight bits, so a logit of 20 is known to 0.06."""
CHANCE: Final = 0.01


@dataclass(frozen=True)
class Place:
    """One place of an answer: the token taken there, and the two best with their log probabilities."""

    token: str
    best: tuple[tuple[str, float], ...]

    @property
    def tied(self) -> bool:
        values = sorted((value for _, value in self.best), reverse=True)
        return len(values) > 1 and values[0] - values[1] <= NEAR_TIE


def places(reply: Mapping[str, Any]) -> dict[int, list[Place]]:
    """Of each choice of an answer that was asked for with logprobs."""
    return {
        choice["index"]: [
            Place(told["token"], tuple((best["token"], best["logprob"]) for best in told["top_logprobs"]))
            for told in (choice.get("logprobs") or {}).get("content") or ()
        ]
        for choice in reply["choices"]
    }


def flipped(expected: Answer, got: Answer, alone: Mapping[int, Sequence[Place]]) -> bool:
    """Whether all that differs between the two is explained by near ties."""
    if expected.choices.keys() != got.choices.keys():
        return False
    return all(
        _explained(choice.told, got.choices[index].told, alone.get(index, ()))
        for index, choice in expected.choices.items()
        if choice != got.choices[index]
    )


def _explained(expected: str, got: str, alone: Sequence[Place]) -> bool:
    """`alone` leads along what the two have in common; the arguments of a tool call stand somewhere in the middle of it."""
    length = next(
        (i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), min(len(expected), len(got))
    )
    shared = expected[:length]
    at = -max(0, "".join(place.token for place in alone).find(shared))
    for place in alone:
        begin, at = at, at + len(place.token)
        if begin > len(shared):
            return False
        if at <= 0 < len(place.token):
            continue
        if not _agrees(shared, begin, place.token):
            return False
        if place.tied and any(
            _agrees(one, begin, place.token) and _agrees(other, begin, rival)
            for one, other in ((expected, got), (got, expected))
            for rival, _ in place.best
            if rival != place.token
        ):
            return True
    return False


def _agrees(text: str, begin: int, token: str) -> bool:
    """Whether the text may have this token there; where the text ends, it may have any."""
    rest, token = text[max(0, begin) :], token[max(0, -begin) :]
    return rest.startswith(token) or token.startswith(rest)


def beyond_chance(control: tuple[int, int], faults: tuple[int, int]) -> bool:
    """Each (flips, answers compared). Whether flips under faults are more frequent than in the control plus chance: were both
    rates the same, each flip would fall under the faults with their share of the answers; more than found here with CHANCE.
    """
    flips = control[0] + faults[0]
    share = faults[1] / max(1, control[1] + faults[1])
    as_many = sum(
        math.comb(flips, found) * share**found * (1 - share) ** (flips - found) for found in range(faults[0], flips + 1)
    )
    return as_many < CHANCE

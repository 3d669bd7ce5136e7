"""Words by which harvests ask: for new instructions, for reasoning, and for what an engine would rather not say.

The list is a file with a version. It is read by those who attack too; its hits weigh little alone. A phrase is up to four
words in a row, `0` any number; all of them are looked up in a text at once, as hashes in a sorted table.
"""

import json
from enum import IntFlag
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.guard.hashing import Hasher, Hashes, mixed

LONGEST: Final = 4
NUMBER: Final = np.uint64(0x9E3779B97F4A7C15)
"""Stands for any number."""


class Hit(IntFlag):
    NONE = 0
    INSTRUCTION = 1
    REASONING = 2
    PROBING = 4


class Lexicon:
    """The packaged list under one secret's hashes."""

    def __init__(self, hasher: Hasher) -> None:
        raw = json.loads(files(__package__).joinpath("lexicon.json").read_text(encoding="utf-8"))
        self.version: int = raw["version"]
        found: dict[int, int] = {}
        for kind in (Hit.INSTRUCTION, Hit.REASONING, Hit.PROBING):
            for phrase in raw[str(kind.name).lower()]:
                run = grams(plain(*hasher.words(phrase)))[-1]
                found[int(run[0])] = found.get(int(run[0]), 0) | kind
        self._runs = np.array(sorted(found), np.uint64)
        self._kinds = np.array([found[int(run)] for run in self._runs], np.uint8)
        self._function = np.unique(np.concatenate([hasher.words(word)[0] for word in raw["function_words"].split()]))

    def hits(self, words: Hashes) -> Hit:
        """`words` with numbers made equal."""
        runs = np.concatenate(grams(words)) if len(words) else words
        places = _places(self._runs, runs)
        same = self._runs[places] == runs
        return Hit(int(np.bitwise_or.reduce(self._kinds[places[same]], initial=0)))

    def is_function(self, words: Hashes) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self._function[_places(self._function, words)] == words
        return found


def plain(words: Hashes, numbers: NDArray[np.bool_]) -> Hashes:
    return np.where(numbers, NUMBER, words)


def grams(words: Hashes) -> list[Hashes]:
    """Hashes of each run of 1 to LONGEST words."""
    runs = [words]
    for length in range(2, min(LONGEST, len(words)) + 1):
        runs.append(mixed(runs[-1][:-1] + words[length - 1 :] * np.uint64(2 * length + 1)))
    return runs


def _places(table: Hashes, values: Hashes) -> NDArray[np.intp]:
    return np.minimum(np.searchsorted(table, values), len(table) - 1)

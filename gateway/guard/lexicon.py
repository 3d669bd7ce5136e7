"""Words by which harvests ask: for new instructions, for reasoning, and for what an engine would rather not say.

The list is a file with a version. It is read by those who attack too; its hits weigh little alone. A phrase is up to four
words in a row, `0` any number; all of them are looked up in all texts at once, by some bits of their hashes first.
"""

import json
from bisect import bisect
from enum import IntFlag
from importlib.resources import files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gateway.guard.hashing import Hasher, Hashes, Places, Words, mixed

LONGEST: Final = 4
NUMBER: Final = np.uint64(0x9E3779B97F4A7C15)
"""Stands for any number."""
FILTER_BITS: Final = 16
_REST: Final = np.uint64(64 - FILTER_BITS)


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
        self._kinds: dict[int, Hit] = {}
        for kind in (Hit.INSTRUCTION, Hit.REASONING, Hit.PROBING):
            phrases = raw[str(kind.name).lower()]
            words = hasher.words(phrases)
            runs = grams(plain(words))
            for start, count in zip(words.bounds, words.counts, strict=False):
                run = int(runs[min(count, LONGEST) - 1][start])
                self._kinds[run] = self._kinds.get(run, Hit.NONE) | kind
        self._maybe = np.zeros(1 << FILTER_BITS, np.bool_)
        self._maybe[np.array(list(self._kinds), np.uint64) >> _REST] = True
        self._function = np.unique(hasher.words(raw["function_words"].split()).hashes)

    def hits(self, words: Hashes, bounds: Places) -> list[Hit]:
        """Of each text, `words` with numbers made equal."""
        limits = bounds.tolist()
        found = [Hit.NONE] * (len(limits) - 1)
        for length, runs in enumerate(grams(words), 1):
            for place in np.flatnonzero(self._maybe[runs >> _REST]).tolist():
                kind = self._kinds.get(int(runs[place]))
                if kind is not None and place + length <= limits[text := bisect(limits, place)]:
                    found[text - 1] |= kind
        return found

    def is_function(self, words: Hashes) -> NDArray[np.bool_]:
        places = np.minimum(np.searchsorted(self._function, words), len(self._function) - 1)
        found: NDArray[np.bool_] = self._function[places] == words
        return found


def plain(words: Words) -> Hashes:
    return np.where(words.numbers, NUMBER, words.hashes)


def grams(words: Hashes) -> list[Hashes]:
    """Hashes of each run of 1 to LONGEST words; those across the end of a text are nobody's."""
    runs = [words]
    for length in range(2, min(LONGEST, len(words)) + 1):
        runs.append(mixed(runs[-1][:-1] + words[length - 1 :] * np.uint64(2 * length + 1)))
    return runs

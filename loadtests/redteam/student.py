"""A student of word pairs: what came most often after each word in stolen answers. Of a model that looks at the last word alone,
more answers are all that could make a better one.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Student = Mapping[str, str]


def taught(answers: Iterable[str]) -> Student:
    """The next word that it would choose, of each word that it has seen with another after it."""
    after: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        said = answer.split()
        for word, following in pairwise(said):
            after[word][following] += 1
    return {word: seen.most_common(1)[0][0] for word, seen in after.items()}


def agreement(student: Student, choices: NDArray[np.intp], texts: NDArray[np.intp], words: Sequence[str]) -> float:
    """Share of the places in the teacher's own texts at which the student would choose the next word that the teacher would.
    `choices`: the teacher's, by token id.
    """
    ids = {word: number for number, word in enumerate(words)}
    known = np.array([ids.get(student.get(word, ""), -1) for word in words])
    return float((known[texts] == choices[texts]).mean())

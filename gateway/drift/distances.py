"""How far two samples of requests are from each other, one test for each kind of signal, and from where on it is drift.

A signal has drifted if its distance is large *and* could not be chance: with many requests the smallest difference is
significant, with few a large one is not. Thresholds of distance:

- lengths: Kolmogorov-Smirnov's D (the largest gap between two distribution functions) ≥ 0.2.
- classes: the population stability index, Σ (p - q) ln(p / q). Its usual reading: below 0.1 stable, from 0.25 on another
  population. 0.25 here; 0.1 for refusals, whose two classes cannot differ by as much while they are rare.
- embedding: the squared maximum mean discrepancy of Gretton et al. (2012), unbiased, under an RBF kernel whose width is the
  median distance; it is 0 on average for equal distributions. ≥ 0.02.

Significance: p < 0.001, by SciPy's KS test, Fisher's exact or the χ² test of the two samples' table, and for the embedding by
999 permutations.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA: Final = 0.001
PERMUTATIONS: Final = 999
_PRIOR: Final = 0.5


class Distance(NamedTuple):
    """`p` is the probability of so large a distance between two samples of one population; 1 where the threshold is not reached."""

    test: str
    value: float
    threshold: float
    p: float

    @property
    def drifted(self) -> bool:
        return self.value >= self.threshold and self.p <= ALPHA


def ks(reference: NDArray[np.int32], present: NDArray[np.int32], threshold: float = 0.2) -> Distance:
    result = stats.ks_2samp(reference, present, method="asymp")
    return Distance("ks", float(result.statistic), threshold, float(result.pvalue))


def psi(reference: NDArray[np.uint8], present: NDArray[np.uint8], classes: int, threshold: float = 0.25) -> Distance:
    """Of class numbers below `classes`. Half an observation is added to each class that either sample has."""
    table = np.array([np.bincount(one, minlength=classes) for one in (reference, present)])
    table = table[:, table.sum(axis=0) > 0]
    shares = (table + _PRIOR) / (table + _PRIOR).sum(axis=1, keepdims=True)
    value = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    p = 1.0
    if value >= threshold:
        p = float((stats.fisher_exact if table.shape[1] == 2 else stats.chi2_contingency)(table)[1])
    return Distance("psi", value, threshold, p)


def mmd(
    reference: NDArray[np.float32],
    present: NDArray[np.float32],
    rng: np.random.Generator,
    threshold: float = 0.02,
) -> Distance:
    """Of vectors, one in each row."""
    both = np.concatenate([reference, present]).astype(np.float32)
    squares = (both * both).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * both @ both.T, 0)
    width = float(np.median(distances[np.triu_indices(len(both), 1)])) or 1.0
    kernel = np.exp(-distances / width)
    np.fill_diagonal(kernel, 0)
    member = np.zeros(len(both), dtype=np.float32)
    member[: len(reference)] = 1
    value = float(_mmd_squared(kernel, member[None, :])[0])
    p = 1.0
    if value >= threshold:
        shuffled = rng.permuted(np.tile(member, (PERMUTATIONS, 1)), axis=1)
        p = float((1 + (_mmd_squared(kernel, shuffled) >= value).sum()) / (1 + PERMUTATIONS))
    return Distance("mmd", value, threshold, p)


def _mmd_squared(kernel: NDArray[np.float32], members: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each row of `members`, ones for the first sample's vectors and zeros for the second's; the diagonal of `kernel` is 0."""
    others = 1 - members
    n, m = members.sum(axis=1), others.sum(axis=1)
    mine, theirs = members @ kernel, others @ kernel
    within = (mine * members).sum(axis=1) / (n * (n - 1)) + (theirs * others).sum(axis=1) / (m * (m - 1))
    squared: NDArray[np.float32] = within - 2 * (mine * others).sum(axis=1) / (n * m)
    return squared

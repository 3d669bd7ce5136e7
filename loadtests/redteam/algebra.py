"""What logits give away about the output layer.

Logits are W·g(x) with W of V x h: however many contexts are stacked, the matrix has rank h, and its column space is that of W
(Carlini et al. 2024, arXiv 2403.06634; Finlayson et al. 2024, arXiv 2403.09539). Logprobs are logits less one number per
context, which centring each row takes away.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
EDGE = 4
"""Singular values at the end of the spectrum that are never taken for the step: the matrix itself ends there."""


class Rank(NamedTuple):
    """`gap`: the ratio of the last singular value counted in to the first left out."""

    hidden: int
    gap: float


def centred(rows: Matrix) -> Matrix:
    return np.asarray(rows - rows.mean(axis=1, keepdims=True))


def hidden_size(rows: Matrix) -> Rank:
    """From contexts x tokens of logprobs or logits: the place of the largest step in the singular values.

    Both sides must exceed the hidden size by more than EDGE; centring costs none of the rank while there are more tokens than that.
    """
    return largest_step(np.linalg.svd(centred(rows), compute_uv=False)[:-EDGE])


def largest_step(values: NDArray[np.floating[Any]]) -> Rank:
    """Of singular values, the greatest first."""
    values = np.maximum(values, values[0] * 1e-14)
    steps = values[:-1] / values[1:]
    at = int(np.argmax(steps))
    return Rank(at + 1, float(steps[at]))


def projection_cosines(rows: Matrix, hidden: int, truth: Matrix) -> Matrix:
    """How well W (V x h, `truth`) is recovered up to an affine map: the cosine of each token's row with its true one, both centred.

    `rows`: contexts x V. The map is fitted by least squares, since no attack can know the basis that training chose.
    """
    _, values, right = np.linalg.svd(centred(rows), full_matrices=False)
    basis = right[:hidden].T * values[:hidden]
    wanted = truth - truth.mean(axis=0)
    fit, *_ = np.linalg.lstsq(basis, wanted, rcond=None)
    found = basis @ fit
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return np.asarray((found * wanted).sum(axis=1) / np.maximum(norms, 1e-12))

"""Maximum mean discrepancy from sums: random Fourier features make the mean of a window a vector that adds up.

phi(x) = sqrt(2/D) cos(W x + b), W ~ N(0, 1/s^2), so that phi(x)·phi(y) is close to the Gaussian kernel of width s (Rahimi
and Recht 2007). MMD² between two windows is the squared distance of their means, less what chance alone makes of it;
windows of gateways, hours or accounts merge by addition.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEATURES: Final = 128
WIDTH: Final = 0.8


class Window(NamedTuple):
    """`total` is the sum of phi over `n` texts, `squares` the sum of |phi|²."""

    n: float
    total: NDArray[np.float32]
    squares: float

    @property
    def mean(self) -> NDArray[np.float32]:
        return self.total / max(self.n, 1.0)


class Kernel:
    """The same for every gateway: its randomness is a constant."""

    def __init__(self, dimensions: int) -> None:
        random = np.random.default_rng(20260501)
        self._weights = (random.standard_normal((dimensions, FEATURES)) / WIDTH).astype(np.float32)
        self._phases = random.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)

    def features(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        angles: NDArray[np.float32] = embedding @ self._weights + self._phases
        return np.cos(angles) * np.float32((2 / FEATURES) ** 0.5)


def discrepancy(a: Window, b: Window) -> float:
    """Unbiased MMD², about 0 if both windows come from one distribution; 0 if either has fewer than two texts."""
    if a.n < 2 or b.n < 2:
        return 0.0
    within = [(float(w.total @ w.total) - w.squares) / (w.n * (w.n - 1)) for w in (a, b)]
    return sum(within) - 2 * float(a.mean @ b.mean)

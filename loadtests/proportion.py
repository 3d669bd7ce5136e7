"""How sure one may be of a share that was counted."""

from scipy.stats import beta


def interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact bounds of a proportion; (0, 1) of no trials."""
    if trials == 0:
        return 0.0, 1.0
    tail = (1.0 - confidence) / 2
    low = float(beta.ppf(tail, hits, trials - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1.0 - tail, hits + 1, trials - hits)) if hits < trials else 1.0
    return low, high

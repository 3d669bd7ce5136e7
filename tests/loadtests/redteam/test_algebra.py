import numpy as np
import pytest

from loadtests.redteam.algebra import hidden_size, projection_cosines


def stacked(hidden, vocabulary, contexts, seed=1):
    """Logprobs of random contexts, and the projection behind them."""
    rng = np.random.default_rng(seed)
    projection = rng.normal(size=(vocabulary, hidden))
    logits = rng.normal(size=(contexts, hidden)) @ projection.T
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)), projection


@pytest.mark.parametrize("hidden", [4, 16, 40])
def test_the_hidden_size_and_the_projection_come_out_exactly(hidden):
    rows, projection = stacked(hidden, 300, 90)
    found, gap = hidden_size(rows)
    assert found == hidden
    assert gap > 1e6
    assert projection_cosines(rows, found, projection).min() > 0.999999


def test_noise_blurs_the_step_before_it_hides_the_projection():
    rows, projection = stacked(16, 300, 90)
    noisy = rows + np.random.default_rng(2).normal(scale=0.05, size=rows.shape)
    assert hidden_size(noisy).gap < hidden_size(rows).gap / 1e6
    assert projection_cosines(noisy, 16, projection).mean() > 0.99


def test_what_is_no_logprob_of_the_model_gives_nothing_away():
    _, projection = stacked(16, 300, 90)
    noise = np.random.default_rng(3).normal(size=(90, 300))
    assert hidden_size(noise).gap < 10
    assert abs(projection_cosines(noise, 16, projection).mean()) < 0.5

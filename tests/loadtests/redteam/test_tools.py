"""What the logprobs of a strict tool's arguments give away."""

import numpy as np
import pytest

from loadtests.redteam.tools import WORDS, calls, step_of


@pytest.mark.parametrize("hidden", [4, 16])
def test_the_hidden_size_is_the_rank_of_renormalised_logprobs(hidden: int) -> None:
    noise = np.random.default_rng(1)
    logits = noise.normal(size=(24, hidden)) @ noise.normal(size=(hidden, WORDS))
    logprobs = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32).astype(float)
    rank = step_of(logprobs)
    assert rank.hidden == hidden
    assert rank.gap > 1000


def test_a_call_is_known_by_the_words_that_alone_could_stand_there() -> None:
    def place(**told: float) -> dict[str, object]:
        return {"top_logprobs": [{"token": token, "logprob": value} for token, value in told.items()]}

    choice = {"logprobs": {"content": [place(a=-1.0, z=-2.0), place(b=-0.5, a=-1.5), place(b=-1.0)]}}
    assert calls(choice, ["a", "b"]) == [[-1.5, -0.5]]

"""Biased logprobs of a model's own, as vLLM would tell them, give its output layer away."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from loadtests.redteam import bias, victim
from loadtests.redteam.attack import Mode, Scene


class Told:
    """Answers as a server does that was started with processed logprobs, or with raw ones: tokens by their texts alone."""

    width = 32

    def __init__(self, folder: Path, prompts: list[list[int]], *, processed: bool) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.texts = [tokenizer.decode([token]) for token in range(tokenizer.get_vocab_size())]
        self.logits = dict(zip(map(tuple, prompts), victim.logits(folder, prompts), strict=True))
        self.processed = processed

    async def every(self, asked: Iterable[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        return [{"choices": [self._choice(at, body) for at in range(len(body["prompt"]))]} for _, body in asked]

    def _choice(self, index: int, body: dict[str, Any]) -> dict[str, Any]:
        raw = self.logits[tuple(body["prompt"][index])]
        biased = raw.copy()
        for token, more in body.get("logit_bias", {}).items():
            biased[int(token)] += more
        shown = biased if self.processed else raw
        logprobs = (shown - shown.max() - np.log(np.exp(shown - shown.max()).sum())).astype(np.float32)
        top = [int(biased.argmax()), *np.argsort(-logprobs)[: body["logprobs"]].tolist()]
        place = {self.texts[token]: float(logprobs[token]) for token in top}
        return {"index": index, "logprobs": {"tokens": [self.texts[top[0]]], "top_logprobs": [place]}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("victim") / "weights"
    victim.make(folder, 1)
    return folder


@pytest.mark.parametrize("processed", [True, False])
async def test_biases_give_the_projection_away_where_they_reach_the_logprobs(weights: Path, processed: bool) -> None:
    vocabulary, hidden = victim.output_projection(weights).shape
    target = Told(weights, bias.contexts(hidden + 8, vocabulary, 1), processed=processed)
    found = await bias.steal_by_biased_logprobs(Scene(target, weights, Mode.BARE, 1, {}))  # type: ignore[arg-type]
    assert found.success is processed
    if processed:
        assert found.figures["hidden"] == hidden

"""What a client chooses about sampling gives exact logits away where nobody counts it, and none where somebody does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm._C")

import torch
from tokenizers import Tokenizer
from vllm.sampling_params import SamplingParams

from gateway.guard.exclusion import ask_of
from gateway.guard.leaks import FREE_SETTINGS, Shape, limits, most
from gateway.pool.seeds import with_hidden_seed
from loadtests.redteam import cuts, victim
from loadtests.redteam.attack import Mode, Scene
from loadtests.redteam.target import Stopped

pytestmark = pytest.mark.skipif(not hasattr(torch.ops._C, "fused_gumbel_argmax"), reason="vLLM's sampling on CPUs")


class Sampled:
    """Answers of one token, as vLLM samples them, without a guard or with what it does about seeds and cuts."""

    width = 1

    def __init__(self, folder: Path, *, guarded: bool) -> None:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.texts = [tokenizer.decode([token]) for token in range(tokenizer.get_vocab_size())]
        self.folder, self.guarded = folder, guarded
        self.random = np.random.default_rng(2)
        self.left = limits(Shape("m", "v", 16, len(self.texts)), 0.05, "projection").answers
        self.settings: set[str] = set()
        self.requests = 0
        self._logits: dict[tuple[int, ...], Any] = {}

    async def ask(self, _path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.requests += 1
        several = isinstance(body["prompt"][0], list)
        prompt = body["prompt"][0] if several else body["prompt"]
        count = body.get("n", 1) * (len(body["prompt"]) if several else 1)
        if self.guarded:
            self._charge(body, count)
        return {"choices": [{"text": self.texts[token]} for token in self._tokens(prompt, body, count)]}

    def _charge(self, body: dict[str, Any], count: int) -> None:
        ask = ask_of(body)
        if ask.setting is not None and len(self.settings) < FREE_SETTINGS:
            self.settings.add(ask.setting)
        ask = ask._replace(searching=ask.setting is not None and ask.setting not in self.settings)
        self.left -= most(ask, count, 1, len(self.texts)).answers
        if self.left < 0:
            raise Stopped

    def _tokens(self, prompt: list[int], body: dict[str, Any], count: int) -> list[int]:
        if tuple(prompt) not in self._logits:
            self._logits[tuple(prompt)] = victim.logits(self.folder, [prompt])[0]
        cooled = self._logits[tuple(prompt)] / body["temperature"]
        if (seed := body.get("seed")) is not None:
            if self.guarded:
                seed = with_hidden_seed(SamplingParams(seed=seed), prompt, "s").seed
            drawn = torch.tensor([cuts.Noise._first(torch.Generator(), seed)])
            return torch.ops._C.fused_gumbel_argmax(torch.tensor(cooled[None], dtype=torch.float32), drawn).tolist()
        weights = np.exp(cooled - cooled.max())
        weights[weights < body.get("min_p", 0.0)] = 0.0
        return self.random.choice(len(weights), size=count, p=weights / weights.sum()).tolist()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("victim") / "weights"
    victim.make(folder, 1)
    return folder


async def test_a_cut_that_moves_gives_logits_away_where_nobody_counts_it(weights: Path) -> None:
    found = await cuts.steal_by_cuts(Scene(Sampled(weights, guarded=False), weights, Mode.BARE, 1, {}))  # type: ignore[arg-type]
    assert found.success, found.measure


async def test_a_cut_that_moves_is_charged_after_the_first_few(weights: Path) -> None:
    target = Sampled(weights, guarded=True)
    with pytest.raises(Stopped):
        await cuts.steal_by_cuts(Scene(target, weights, Mode.GUARDED, 1, {}))  # type: ignore[arg-type]
    assert FREE_SETTINGS < target.requests < 100


@pytest.mark.parametrize("guarded", [False, True])
async def test_seeds_give_distances_away_where_their_noise_is_known(
    weights: Path, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    for name, value in {"PAIRS": 3, "SEEDS": 500, "CLOSE": 0.4}.items():
        monkeypatch.setattr(cuts, name, value)
    found = await cuts.steal_by_seeds(Scene(Sampled(weights, guarded=guarded), weights, Mode.BARE, 1, {}))  # type: ignore[arg-type]
    assert found.figures["distances"] == 3
    assert found.success is not guarded, found.measure

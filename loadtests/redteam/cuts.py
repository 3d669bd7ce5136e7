"""R4m, R5s: exact logits from sampling alone, by what a client may choose about it.

`min_p` is applied after the temperature: a token is seen at all only if its logit lies less than -T ln(min_p) below the largest,
which halving finds. And noise is a function of the seed: whoever can compute it knows under which seeds one of two tokens beats
the other, asks for the seeds that lie nearest to what is still possible, and is told a comparison by each.
"""

from collections import Counter
from importlib import import_module
from math import exp, inf

import numpy as np
import torch

from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.bias import ERROR, contexts
from loadtests.redteam.target import COMPLETIONS, together
from loadtests.redteam.victim import logits, output_projection, readable

PLACES, EACH, WANTED = 4, 8, 16
"""Contexts; logits that are looked for in each at most; and how many are wanted of all together."""
TEMPERATURE, LOWEST, BITS = 2.0, -1.25, 9
"""Tokens down to `LOWEST` times the temperature below the largest are looked for; steps of a search."""
AT_ONCE, CHOICES, TRIES = 16, 4, 5
"""Prompts and choices of one request; and how often a token that is not among them is looked for again."""
PAIRS, LOOKED_AT, SEEDS, ASKED = 6, 24, 5000, 400
SPAN, CLOSE = 8.0, 0.05
"""Nats that two likely tokens are apart at most, and how exact half of the distances must come out."""


async def steal_by_cuts(scene: Scene) -> Finding:
    """The distances of logits to the largest of their context. Success: WANTED of them, none off by more than ERROR."""
    prompts = contexts(PLACES, output_projection(scene.folder).shape[0], scene.seed)
    tokens = {text: token for token, text in readable(scene.folder).items()}
    found: dict[tuple[int, int], float] = {}

    async def search(place: int) -> None:
        likely = await _seen(scene, prompts[place], exp(LOWEST))
        best = await _seen(scene, prompts[place], 1.0)
        for text in [text for text in likely if text in tokens and text not in best][:EACH]:
            found[place, tokens[text]] = await _distance(scene, prompts[place], text)

    await together(search(place) for place in range(PLACES))
    rows = logits(scene.folder, prompts)
    off = [abs(told - (rows[place][token] - rows[place].max())) for (place, token), told in found.items()]
    largest = float(max(off, default=0.0))
    return Finding(
        len(found) >= WANTED and largest < ERROR,
        f"{len(found)} logits, largest error {largest:.4f}",
        {"logits": len(found), "largest error": largest},
    )


async def _distance(scene: Scene, prompt: list[int], text: str) -> float:
    low, high = LOWEST, 0.0
    for _ in range(BITS):
        middle = (low + high) / 2
        low, high = (middle, high) if await _kept(scene, prompt, text, exp(middle)) else (low, middle)
    return TEMPERATURE * (low + high) / 2


async def _kept(scene: Scene, prompt: list[int], text: str, least: float) -> bool:
    for _ in range(TRIES):
        if text in await _seen(scene, prompt, least):
            return True
    return False


async def _seen(scene: Scene, prompt: list[int], least: float) -> Counter[str]:
    """The texts of a request's answers, of one token each, that are at least `least` times as likely as the likeliest."""
    body = {"prompt": [prompt] * AT_ONCE, "n": CHOICES, "max_tokens": 1, "temperature": TEMPERATURE, "min_p": least}
    answer = await scene.target.ask(COMPLETIONS, body)
    return Counter(choice["text"] for choice in answer["choices"])


async def steal_by_seeds(scene: Scene) -> Finding:
    """The distances of PAIRS pairs of tokens, the likeliest of LOOKED_AT contexts. Success: half of them within CLOSE nats."""
    vocabulary = output_projection(scene.folder).shape[0]
    prompts = contexts(LOOKED_AT, vocabulary, scene.seed)
    tokens = {text: token for token, text in readable(scene.folder).items()}
    noise = Noise(vocabulary)
    off: list[float] = []
    likely: list[tuple[int, int, tuple[str, str]]] = []

    async def look(place: int) -> None:
        body = {"prompt": [prompts[place]] * AT_ONCE, "n": CHOICES, "max_tokens": 1, "temperature": 1.0}
        answer = await scene.target.ask(COMPLETIONS, body)
        counted = Counter(choice["text"] for choice in answer["choices"] if choice["text"] in tokens)
        (one, often), (other, less) = counted.most_common(2)
        likely.append((often + less, place, (one, other)))

    async def search(place: int, one: str, other: str) -> None:
        told = await _apart(scene, prompts[place], (one, other), noise.ties(tokens[one], tokens[other]))
        true = logits(scene.folder, [prompts[place]])[0]
        off.append(told - (true[tokens[other]] - true[tokens[one]]))

    await together(look(place) for place in range(LOOKED_AT))
    await together(search(place, *pair) for _, place, pair in sorted(likely)[-PAIRS:])
    error = float(np.median(np.abs(off)))
    return Finding(
        error < CLOSE, f"{len(off)} distances, median error {error:.3f} nats", {"distances": len(off), "error": error}
    )


async def _apart(scene: Scene, prompt: list[int], texts: tuple[str, str], ties: dict[int, float]) -> float:
    """How far the second token's logit lies above the first's. `ties`: by seeds, where noise makes them equal."""
    low, high = -SPAN, SPAN
    for _ in range(ASKED):
        left = [seed for seed, tie in ties.items() if low < tie < high]
        if not left or high - low < CLOSE / 4:
            break
        seed = min(left, key=lambda seed: abs(ties[seed] - (low + high) / 2))
        body = {"prompt": prompt, "max_tokens": 1, "temperature": 1.0, "seed": seed}
        text = (await scene.target.ask(COMPLETIONS, body))["choices"][0]["text"]
        tie = ties.pop(seed)
        if text in texts:
            low, high = (tie, high) if text == texts[1] else (low, tie)
    return (low + high) / 2


class Noise:
    """vLLM's on CPU: what a request's seed adds to logits before the largest is taken, by vLLM's own operation."""

    def __init__(self, vocabulary: int) -> None:
        import_module("vllm._C")  # registers the operation
        self._vocabulary = vocabulary
        source = torch.Generator()
        self._drawn = torch.tensor([self._first(source, seed) for seed in range(SEEDS)])

    @staticmethod
    def _first(source: torch.Generator, seed: int) -> int:
        """What vLLM draws from a request's generator for its first token."""
        source.manual_seed(seed)
        return int(torch.randint(0, 2**31, (1,), generator=source, dtype=torch.long))

    def ties(self, one: int, other: int) -> dict[int, float]:
        """For each seed, how far the other's logit must lie above the one's for both to be as large under its noise."""
        low, high = torch.full((SEEDS,), -SPAN), torch.full((SEEDS,), SPAN)
        for _ in range(14):
            middle = (low + high) / 2
            rows = torch.full((SEEDS, self._vocabulary), -inf)
            rows[:, one], rows[:, other] = 0.0, middle
            wins = torch.ops._C.fused_gumbel_argmax(rows, self._drawn) == other  # noqa: SLF001  vLLM's name
            low, high = torch.where(wins, low, middle), torch.where(wins, middle, high)
        return dict(enumerate(((low + high) / 2).tolist()))

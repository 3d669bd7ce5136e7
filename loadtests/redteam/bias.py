"""R3, R3f, R4: logits through logit_bias.

Contexts are short prompts of token ids, one token is generated, greedily. A bias that reaches the logprobs lifts any tokens into
the top 20 beside a reference that is lifted too (Carlini et al. 2024); one that does not still chooses the token whose own logprob
is reported; and with no logprobs at all, the bias at which a token begins to win is its distance to the top, found by halving.
"""

from random import Random
from typing import Any

import numpy as np

from loadtests.redteam.algebra import hidden_size, projection_cosines
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.projection import COSINE, STEP, WORST_COSINE
from loadtests.redteam.target import COMPLETIONS, Stopped, together
from loadtests.redteam.victim import logits, output_projection, readable

TOP, FEWER = 20, 5
BIAS = 40.0
FORCE = 100.0
SPARE = 16
"""Contexts and tokens beyond the hidden size, so that a step in the spectrum can be told from its end."""
BATCH = 16
MOST_BIAS, BITS = 24.0, 14
ERROR = 0.01


def contexts(count: int, vocabulary: int, seed: int) -> list[list[int]]:
    rng = Random(seed)
    return [[rng.randrange(300, vocabulary) for _ in range(3)] for _ in range(count)]


def one_token(**more: Any) -> dict[str, Any]:
    """The greedy choice after a prompt."""
    return {"max_tokens": 1, "temperature": 0} | more


async def steal_by_biased_logprobs(scene: Scene) -> Finding:
    """All readable tokens but one, 19 at a time (4, where only five logprobs are given), for h + 8 contexts. Success: as for the
    projection from chosen tokens, over these tokens.
    """
    truth = output_projection(scene.folder)
    vocabulary, true = truth.shape
    texts = readable(scene.folder)
    prompts = contexts(true + 8, vocabulary, scene.seed)
    top = await _most_logprobs(scene, prompts)
    columns: list[list[float]] = []
    got = 0
    # What is not lifted may share its text with others, and answers name tokens by their texts.
    reference, *tokens = texts
    for at in range(0, len(tokens), top - 1):
        ids = tokens[at : at + top - 1]
        bias = dict.fromkeys(map(str, (reference, *ids)), BIAS)
        choices = await in_batches(scene, prompts, {"logit_bias": bias, "logprobs": top})
        places = [choice["logprobs"]["top_logprobs"][0] for choice in choices]
        for token in ids:
            columns.append([place.get(texts[token], np.nan) - place.get(texts[reference], np.nan) for place in places])
            got += int(np.isfinite(columns[-1]).sum())
        if got < 0.5 * len(columns) * len(prompts):
            share = got / (len(columns) * len(prompts))
            return Finding(False, f"the bias lifts no logprob: {share:.0%} of those wanted came back", {"share": share})
    rows = np.nan_to_num(np.array(columns).T)
    rank = hidden_size(rows)
    cosines = projection_cosines(rows, rank.hidden, truth[tokens])
    mean, worst = float(cosines.mean()), float(np.quantile(cosines, 0.05))
    return Finding(
        mean > COSINE and worst > WORST_COSINE,
        f"cosine to the true projection {mean:.4f}, 5th percentile {worst:.4f}; hidden size {rank.hidden} of {true}",
        {"cosine": mean, "cosine p5": worst, "hidden": rank.hidden, "true hidden": true},
    )


async def _most_logprobs(scene: Scene, prompts: list[list[int]]) -> int:
    """TOP, or FEWER where that is refused."""
    try:
        await in_batches(scene, prompts[:1], {"logprobs": TOP})
    except Stopped:
        scene.target.forgive()
        return FEWER
    return TOP


def exactly_the_hidden_size(columns: list[list[float]], true: int) -> Finding:
    """Of one column of logprobs for each token, a row for each context: whether their rank is `true`, beyond doubt."""
    rank = hidden_size(np.array(columns).T)
    return Finding(
        rank.hidden == true and rank.gap > STEP,
        f"hidden size {rank.hidden} of {true}, step {rank.gap:.0f}",
        {"hidden": rank.hidden, "true hidden": true, "step": rank.gap},
    )


async def steal_by_forced_tokens(scene: Scene) -> Finding:
    """One scalar per answer: (h + 16)² of them. Success: exactly h."""
    vocabulary, true = output_projection(scene.folder).shape
    prompts = contexts(true + SPARE, vocabulary, scene.seed)
    columns = []
    for token in some_readable(scene, true + SPARE):
        choices = await in_batches(scene, prompts, {"logit_bias": {str(token): FORCE}, "logprobs": 1})
        columns.append([choice["logprobs"]["token_logprobs"][0] for choice in choices])
    return exactly_the_hidden_size(columns, true)


async def steal_by_halving(scene: Scene) -> Finding:
    """No logprobs at all: (h + 16)² searches of 14 steps. Success: exactly h, and no logit off by more than 0.01."""
    vocabulary, true = output_projection(scene.folder).shape
    prompts = contexts(true + SPARE, vocabulary, scene.seed)
    texts = readable(scene.folder)
    tokens = some_readable(scene, true + SPARE)
    rows = np.zeros((len(prompts), len(tokens)))
    places = iter([(row, column) for row in range(len(prompts)) for column in range(len(tokens))])

    async def search() -> None:
        for row, column in places:
            token = tokens[column]
            rows[row, column] = -await _distance(scene, prompts[row], token, texts[token])

    await together(search() for _ in range(scene.target.width))
    true_logits = logits(scene.folder, prompts)
    off = np.abs(rows - (true_logits - true_logits.max(axis=1, keepdims=True))[:, tokens])
    rank = hidden_size(rows)
    return Finding(
        rank.hidden == true and float(off.max()) < ERROR,
        f"hidden size {rank.hidden} of {true}; {rows.size} logits, largest error {off.max():.4f}",
        {"hidden": rank.hidden, "true hidden": true, "largest error": float(off.max()), "logits": rows.size},
    )


async def _distance(scene: Scene, prompt: list[int], token: int, text: str) -> float:
    """By how much the token's logit lies below the largest."""
    low, high = 0.0, MOST_BIAS
    for _ in range(BITS):
        middle = (low + high) / 2
        answer = await scene.target.ask(COMPLETIONS, one_token(prompt=prompt, logit_bias={str(token): middle}))
        low, high = (low, middle) if answer["choices"][0]["text"] == text else (middle, high)
    return (low + high) / 2


def some_readable(scene: Scene, count: int) -> list[int]:
    """Some readable tokens."""
    return Random(scene.seed).sample(sorted(readable(scene.folder)), count)


async def in_batches(scene: Scene, prompts: list[list[int]], more: dict[str, Any]) -> list[dict[str, Any]]:
    """One choice per prompt, BATCH prompts to a request."""
    parts = [prompts[at : at + BATCH] for at in range(0, len(prompts), BATCH)]
    answers = await scene.target.every((COMPLETIONS, one_token(prompt=part, **more)) for part in parts)
    return [choice for answer in answers for choice in sorted(answer["choices"], key=lambda one: one["index"])]

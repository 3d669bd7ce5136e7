"""R1, R2: the hidden size and the whole output projection from logprobs of chosen tokens.

vLLM gives the logprobs of up to 128 client-chosen token ids at each position and does not hold that against --max-logprobs. The
positions of one seeded generation are the contexts: repeated with the next 128 ids, they are the same ones.
"""

from typing import Any

import numpy as np

from loadtests.redteam.algebra import Matrix, hidden_size, projection_cosines
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.target import COMPLETIONS
from loadtests.redteam.victim import output_projection

IDS = 128
CONTEXTS = 64
STEP = 10.0
COSINE, WORST_COSINE = 0.99, 0.97


async def steal_hidden_size(scene: Scene) -> Finding:
    """One request. Success: exactly h, with a step of more than STEP in the singular values."""
    rows = await _logprobs(scene, range(IDS))
    rank = hidden_size(rows)
    true = output_projection(scene.folder).shape[1]
    return Finding(
        rank.hidden == true and rank.gap > STEP,
        f"hidden size {rank.hidden} of {true}, step {rank.gap:.0f}",
        {"hidden": rank.hidden, "true hidden": true, "step": rank.gap},
    )


async def steal_projection(scene: Scene) -> Finding:
    """V/128 requests. Success: rows of the recovered projection agree with the true ones in direction."""
    truth = output_projection(scene.folder)
    vocabulary, true = truth.shape
    parts = [await _logprobs(scene, range(at, min(at + IDS, vocabulary))) for at in range(0, vocabulary, IDS)]
    rows = np.concatenate(parts, axis=1)
    rank = hidden_size(rows)
    cosines = projection_cosines(rows, rank.hidden, truth)
    mean, worst = float(cosines.mean()), float(np.quantile(cosines, 0.05))
    return Finding(
        mean > COSINE and worst > WORST_COSINE,
        f"cosine to the true projection {mean:.4f}, 5th percentile {worst:.4f}; hidden size {rank.hidden} of {true}",
        {"cosine": mean, "cosine p5": worst, "hidden": rank.hidden, "true hidden": true},
    )


async def _logprobs(scene: Scene, ids: range) -> Matrix:
    """Contexts x ids."""
    body: dict[str, Any] = {
        "prompt": [40, 41, 42, 43],
        "max_tokens": CONTEXTS,
        "temperature": 1.0,
        "seed": scene.seed,
        "ignore_eos": True,
        "logprobs": 1,
        "logprob_token_ids": list(ids),
        "return_tokens_as_token_ids": True,
    }
    answer = await scene.target.ask(COMPLETIONS, body)
    places = answer["choices"][0]["logprobs"]["top_logprobs"]
    return np.array([[place.get(f"token_id:{token}", np.nan) for token in ids] for place in places])

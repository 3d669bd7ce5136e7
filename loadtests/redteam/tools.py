"""R3c: a grammar by way of tools that the model may call or not.

A strict tool is held to its schema once a call has begun, and vLLM takes logprobs after the grammar's mask: of an `enum` of twenty
words they are the model's own twenty logits, less one number. A model that was taught to call tools begins a call when it is
asked to. The victim, whose weights are random, begins one by chance, once in some thousand tokens.
"""

from random import Random
from typing import Any

import numpy as np

from loadtests.redteam.algebra import Matrix, Rank, largest_step
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.bias import FEWER
from loadtests.redteam.projection import STEP
from loadtests.redteam.target import CHAT, Stopped
from loadtests.redteam.victim import output_projection, readable

WORDS = 20
"""As many as a server gives logprobs of."""
SPARE = 8
"""Calls wanted beyond the hidden size."""
ROUND, MOST = 64, 640
"""Answers asked for at a time, and at most."""
LENGTH = 1000


async def steal_by_strict_tools(scene: Scene) -> Finding:
    """h + 8 calls. Success: exactly h. Where so many logprobs are not given, five words are tried."""
    true = output_projection(scene.folder).shape[1]
    rng = Random(scene.seed)
    words = rng.sample(
        sorted(text for text in readable(scene.folder).values() if len(text) == 1 and text.isalpha()), WORDS
    )
    try:
        rows = await _rows(scene, rng, words, true + SPARE)
    except Stopped:
        scene.target.forgive()
        rows = await _rows(scene, rng, words[:FEWER], true + SPARE)
    if len(rows) < true + SPARE:
        return Finding(False, f"only {len(rows)} calls begun", {"calls": len(rows)})
    rank = step_of(np.array(rows))
    return Finding(
        rank.hidden == true and rank.gap > STEP,
        f"hidden size {rank.hidden} of {true}, step {rank.gap:.0f}, from {len(rows)} calls",
        {"hidden": rank.hidden, "true hidden": true, "step": rank.gap, "calls": len(rows)},
    )


async def _rows(scene: Scene, rng: Random, words: list[str], wanted: int) -> list[list[float]]:
    rows: list[list[float]] = []
    for _ in range(MOST // ROUND):
        asked = [(CHAT, _asking(words, " ".join(rng.choices(words, k=6)))) for _ in range(ROUND)]
        for answer in await scene.target.every(asked):
            rows += calls(answer["choices"][0], words)
        if len(rows) >= wanted:
            break
    return rows


def calls(choice: dict[str, Any], words: list[str]) -> list[list[float]]:
    """A row of logprobs for each place of the answer where only these words could stand."""
    found = []
    for place in choice["logprobs"]["content"]:
        told = {top["token"]: top["logprob"] for top in place["top_logprobs"]}
        if told.keys() >= set(words):
            found.append([told[word] for word in words])
    return found


def step_of(rows: Matrix) -> Rank:
    """As `hidden_size`, with few more tokens than that: the others are compared to one of them, and no place is left out."""
    return largest_step(np.linalg.svd(rows[:, 1:] - rows[:, :1], compute_uv=False))


def _asking(words: list[str], text: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"x": {"type": "string", "enum": words}},
        "required": ["x"],
        "additionalProperties": False,
    }
    return {
        "messages": [{"role": "user", "content": text}],
        "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": schema}}],
        "max_tokens": LENGTH,
        "temperature": 1.0,
        "ignore_eos": True,
        "stop": ["</tool_call>"],
        "logprobs": True,
        "top_logprobs": len(words),
    }

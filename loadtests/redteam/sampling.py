"""R5: soft labels from samples alone. Two allowed tokens, many samples: their frequencies are the log-odds of the pair.

The standard error with N samples at frequency p is 1/sqrt(N·p·(1-p)) nats: a soft label for distillation, far too coarse for the
hidden size. Where one way is closed, the next is tried: a list of allowed tokens, a large bias on both with n at once, then few
at a time.
"""

import math
from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.bias import FORCE, contexts
from loadtests.redteam.target import COMPLETIONS, Stopped
from loadtests.redteam.victim import logits, output_projection, readable

SAMPLES = 2048
PILOT = 512
PAIRS = 6
ERROR = 0.1
WAYS = (("allowed_token_ids", SAMPLES), ("logit_bias", SAMPLES), ("logit_bias", 4))
"""(field, n): tried in order until one is not refused."""


async def steal_soft_labels(scene: Scene) -> Finding:
    """The log-odds of PAIRS pairs of likely tokens. Success: a root mean square error below ERROR nats."""
    vocabulary = output_projection(scene.folder).shape[0]
    prompt = contexts(1, vocabulary, scene.seed)[0]
    true = logits(scene.folder, [prompt])[0]
    texts = readable(scene.folder)
    way, likely = await _open_way(scene, prompt)
    found = []
    for one, other in list(pairwise(likely))[:PAIRS]:
        counted = await _samples(scene, prompt, SAMPLES, way, (one, other))
        odds = math.log(max(counted[texts[one]], 0.5) / max(counted[texts[other]], 0.5))
        found.append(odds - (true[one] - true[other]))
    error = math.sqrt(sum(off * off for off in found) / len(found))
    return Finding(
        error < ERROR and len(found) == PAIRS,
        f"{len(found)} soft labels, error {error:.3f} nats",
        {"labels": len(found), "error": error},
    )


async def _open_way(scene: Scene, prompt: list[int]) -> tuple[tuple[str, int], list[int]]:
    """The first way that is not refused, and the likeliest readable tokens by a pilot sample."""
    tokens = {text: token for token, text in readable(scene.folder).items()}
    for way in WAYS:
        try:
            await _samples(scene, prompt, 2, way, (300, 301))
            counted = await _samples(scene, prompt, PILOT, way, ())
        except Stopped:
            if way == WAYS[-1]:
                raise
            scene.target.forgive()
            continue
        return way, [tokens[text] for text, _ in counted.most_common() if text in tokens]
    raise AssertionError("no way")


async def _samples(
    scene: Scene, prompt: list[int], count: int, way: tuple[str, int], pair: tuple[int, ...]
) -> Counter[str]:
    """How often each text came, without a constraint if the pair is empty."""
    name, at_once = way
    rng = Random(f"{scene.seed} {pair}")
    body: dict[str, Any] = {"prompt": prompt, "max_tokens": 1, "temperature": 1.0}
    if pair:
        body[name] = list(pair) if name == "allowed_token_ids" else dict.fromkeys(map(str, pair), FORCE)
    sizes = [min(at_once, count - at) for at in range(0, count, at_once)]
    asked = [(COMPLETIONS, body | {"n": size, "seed": rng.randrange(2**31)}) for size in sizes]
    answers = await scene.target.every(asked)
    return Counter(choice["text"] for answer in answers for choice in answer["choices"])

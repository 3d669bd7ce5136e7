"""R12: another tenant's secret out of the prefix cache.

The victim sends a known form with one of twenty secrets in it. The attacker sends all twenty: the one whose blocks are cached
says so in `cached_tokens`, or, where that is not told, by answering sooner. Each trial has a form of its own, so that nothing of
the last one helps. Probing caches, too: each candidate can be asked but once.
"""

import time
from random import Random
from typing import Any

from loadtests.proportion import interval
from loadtests.redteam.attack import Finding, Mode, Scene
from loadtests.redteam.target import COMPLETIONS, Target

CANDIDATES = 20
TRIALS, GUARDED_TRIALS = 10, 60
"""An attack that must fail is tried oftener: what has not been seen in ten trials may well be there."""
BLOCK = 32
FORM, SECRET, REST = 2 * BLOCK, 2 * BLOCK, 56 * BLOCK
"""Tokens before the secret, of it, and after it: all whole blocks, since only those are cached. The more come after it, the more
time a hit saves.
"""
IDENTIFIED = 0.95
SURELY = 4
"""By time, which other work on the machine blurs: so many times as often as by chance, at the least that is likely."""


async def find_secret(scene: Scene, trials: int = 0, candidates: int = CANDIDATES) -> Finding:
    """Success: the secret named in 95 % of the trials, or, where only time tells, surely more often than by chance."""
    trials = trials or (GUARDED_TRIALS if scene.mode is Mode.GUARDED else TRIALS)
    rng = Random(scene.seed)
    secrets = [_ids(rng, SECRET) for _ in range(candidates)]
    told = right = 0
    for _ in range(trials):
        form, rest = _ids(rng, FORM), _ids(rng, REST)
        chosen = rng.randrange(candidates)
        await scene.target.ask(COMPLETIONS, _body(form + secrets[chosen] + rest), scene.victim)
        shown = [await _probe(scene.target, form + secret + rest) for secret in secrets]
        by_count = max(cached for cached, _ in shown) > FORM
        told += by_count
        if by_count:
            guess = max(range(candidates), key=lambda index: shown[index][0])
        else:
            guess = min(range(candidates), key=lambda index: shown[index][1])
        right += guess == chosen
    low, high = interval(right, trials)
    channel = "cached_tokens" if told else "time to the first token"
    return Finding(
        right / trials >= IDENTIFIED or (not told and low > SURELY / candidates),
        f"{right} of {trials} secrets found among {candidates} by {channel}; 95 % interval {low:.2f}–{high:.2f}",
        {"share": right / trials, "low": low, "high": high, "chance": 1 / candidates, "told": told},
    )


async def _probe(target: Target, prompt: list[int]) -> tuple[int, float]:
    """Cached tokens, 0 if they are not told, and the seconds it took."""
    begun = time.perf_counter()
    answer = await target.ask(COMPLETIONS, _body(prompt))
    took = time.perf_counter() - begun
    details = answer["usage"].get("prompt_tokens_details") or {}
    return int(details.get("cached_tokens") or 0), took


def _body(prompt: list[int]) -> dict[str, Any]:
    return {"prompt": prompt, "max_tokens": 1, "temperature": 0}


def _ids(rng: Random, count: int) -> list[int]:
    return [rng.randrange(300, 1500) for _ in range(count)]

"""Ended requests, as the guard is told of them."""

import random
from collections.abc import Iterator

from gateway.guard.observation import Observation

DAY = 20_000
START = DAY * 86_400.0


def seen(text: str = "How are you?", at: float = START, key: str = "k", **more: object) -> Observation:
    told = {
        "key": key,
        "tenant": f"of-{key}",
        "model": "m",
        "at": at,
        "messages": (("user", text),),
        "prompt_tokens": 10,
        "completion_tokens": 100,
    }
    return Observation(**(told | more))


def harvested(key: str, n: int, begin: float = START, **more: object) -> Iterator[Observation]:
    """A harvest by template, a request every 20 s."""
    rng = random.Random(key)
    for i in range(n):
        words = " ".join("".join(rng.choices("abcdefghij", k=6)) for _ in range(6))
        text = f"Come up with {rng.randrange(9)} diverse tasks about {words} and show your reasoning trace for each of them"
        yield seen(text, begin + 20 * i, key, **({"completion_tokens": 600, "max_tokens": 1024} | more))

"""Distinct prompts of about one length, the same for the same seed."""

import random

QUESTIONS = (
    "What is {a} + {b}? Then tell me about the {word}.",
    "My name is {name} and I have {a} apples. How many after {b} more?",
    "Say the word {word} and then count from {a} to {b}.",
    "Please write about a {word} in {name}'s garden with {a} trees and {b} birds.",
)
WORDS = "river lantern castle window turtle copper ribbon sailor winter marble".split()
NAMES = "Anna Ben Clara David Emma Felix Grace Hugo Iris Jack".split()


def prompts(count: int, seed: int) -> list[str]:
    """No two are equal, and none of one seed is among those of another."""
    rng = random.Random(seed)
    return [
        f"{seed}.{number}: "
        + rng.choice(QUESTIONS).format(
            a=rng.randrange(10, 99), b=rng.randrange(10, 99), word=rng.choice(WORDS), name=rng.choice(NAMES)
        )
        for number in range(count)
    ]

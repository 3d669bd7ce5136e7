"""R7: a template harvest, and a student trained on it.

The teacher is the demo model; its prompts are made from templates with fresh slots, as Self-Instruct fills them. The ceiling is a
student of the same architecture with four times as many answers. Both are held against the teacher on prompts neither has seen.
"""

import asyncio
from random import Random

from loadtests.redteam import student
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.student import Pair
from loadtests.redteam.target import CHAT, Stopped, Target, together
from loadtests.traffic.words import NAMES, NOUNS, PLACES

TEMPLATES = (
    "Extract name and age as JSON: {m} is {k} years old and lives in {p}.",
    "What is {a} + {b}? Just the number.",
    "Say {n} {n2}.",
    "Spell {n}.",
    "Write the multiplication table of {d}.",
    "Tell me a story about a {n} named {m}.",
    "Count from 1 to {d}.",
    "Write a poem about {n}.",
)
QUERIES, CEILING, HELD_OUT = 600, 2400, 150
BAR = 0.95
"""Of the ceiling's agreement. Four fifths are reached with a dozen answers, nine tenths with 29: most of an answer is its form."""
PATIENCE_S = 20.0


def prompts(count: int, seed: str) -> list[str]:
    rng = Random(seed)
    pick = rng.choice
    return [
        pick(TEMPLATES).format(
            m=pick(NAMES),
            k=rng.randrange(18, 90),
            p=pick(PLACES),
            a=rng.randrange(10, 99),
            b=rng.randrange(10, 99),
            n=pick(NOUNS),
            n2=pick(NOUNS),
            d=rng.randrange(2, 13),
        )
        for _ in range(count)
    ]


async def distil(scene: Scene) -> Finding:
    """Success: a next-token agreement with the teacher of BAR of the ceiling's or more."""
    answers = await harvest(scene.target, prompts(QUERIES, f"harvest {scene.seed}"))
    ceiling, held_out = await _yardstick(scene)
    reached = 0.0
    if answers:
        weights = await asyncio.to_thread(student.taught, answers, scene.seed)
        reached = student.agreement(weights, held_out)
    return Finding(
        reached >= BAR * ceiling,
        f"{len(answers)} of {QUERIES} answers; agreement {reached:.3f}, {reached / ceiling:.0%} of the ceiling {ceiling:.3f}",
        {"answers": len(answers), "agreement": reached, "ceiling": ceiling, "share": reached / ceiling},
    )


async def harvest(target: Target, asked: list[str]) -> list[Pair]:
    """The answers that came before patience ended. A refusal is waited for once, at most PATIENCE_S, and then believed."""
    found: list[Pair] = []
    waiting = iter(asked)

    async def work() -> None:
        for prompt in waiting:
            body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 256}
            answer = await target.ask(CHAT, body)
            found.append(Pair(prompt, answer["choices"][0]["message"]["content"]))

    for patience in (PATIENCE_S, 0.0):
        try:
            await together(work() for _ in range(8))
        except Stopped:
            await asyncio.sleep(patience)
        else:
            break
    return found


async def _yardstick(scene: Scene) -> tuple[float, list[Pair]]:
    """The ceiling and the held-out answers: got once, from bare vLLM, outside the books of any attack."""
    memory = scene.memory
    if "held out" not in memory:
        teacher = Target(scene.target.port, scene.target.model)
        memory["held out"] = await harvest(teacher, prompts(HELD_OUT, f"held out {scene.seed}"))
        pairs = await harvest(teacher, prompts(CEILING, f"ceiling {scene.seed}"))
        teacher.close()
        weights = await asyncio.to_thread(student.taught, pairs, scene.seed)
        memory["ceiling"] = student.agreement(weights, memory["held out"])
    return memory["ceiling"], memory["held out"]

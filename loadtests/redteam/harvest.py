"""R7: a template harvest, and a student trained on it.

The teacher is a model made for it (library.py); its prompts are made from templates with fresh slots, as Self-Instruct fills them.
The ceiling is the same student after answers without end: it says at each place what the teacher would.
"""

import asyncio
from random import Random
from typing import Final

from loadtests.redteam import library, student
from loadtests.redteam.attack import Finding, Scene
from loadtests.redteam.target import CHAT, Stopped, Target, together

TEMPLATES: Final = (
    "Tell me all about {a} and {b}",
    "Explain to a beginner what {a} has to do with {b}",
    "Write a long story about {a} that ends with {b}",
    "Compare {a} in detail with {b}",
    "Give me ten questions on {a} and the answers, beginning with {b}",
    "Summarise what is known of {a} since {b}",
    "Continue this text: {a} {b}",
    "As an expert on {a}, give a lecture on {b}",
)
QUERIES, LENGTH = 2000, 256
BAR: Final = 0.8
"""Of the ceiling's agreement."""
HELD_OUT = 60
STEPS: Final = (30, 100, 300, 1000)
"""Numbers of answers after which the student is looked at, beside all of them."""
PATIENCE_S = 20.0


def prompts(count: int, seed: str, words: list[str]) -> list[str]:
    rng = Random(seed)
    pick = rng.choice
    return [pick(TEMPLATES).format(a=pick(words), b=pick(words)) for _ in range(count)]


def body(prompt: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": prompt}], "temperature": 1.0, "max_tokens": LENGTH}


async def distil(scene: Scene) -> Finding:
    """Success: the student chooses as the teacher would at BAR of the places of texts that it has not seen."""
    words = library.words()
    asked = prompts(QUERIES, f"harvest {scene.seed}", words[len(library.SPECIAL) :])
    answers = await harvest(scene.target, asked)
    reached = await asyncio.to_thread(_quality, scene, words, answers)
    last = reached[len(answers)]
    return Finding(
        last >= BAR,
        f"{len(answers)} of {QUERIES} answers; the student chooses as the model does at {last:.1%} of places",
        {"answers": len(answers), "agreement": last} | {f"after {count}": share for count, share in reached.items()},
    )


async def harvest(target: Target, asked: list[str]) -> list[str]:
    """The answers that came before patience ended. A refusal is waited for once, at most PATIENCE_S, and then believed."""
    found: list[str] = []
    waiting = iter(asked)

    async def work() -> None:
        for prompt in waiting:
            answer = await target.ask(CHAT, body(prompt))
            found.append(f"{prompt.rpartition(' ')[2]} {answer['choices'][0]['message']['content']}")

    for patience in (PATIENCE_S, 0.0):
        try:
            await together(work() for _ in range(target.width))
        except Stopped:
            await asyncio.sleep(patience)
        else:
            break
    return found


def _quality(scene: Scene, words: list[str], answers: list[str]) -> dict[int, float]:
    """The student's agreement after so many answers."""
    memory = scene.memory
    if "choices" not in memory:
        true = library.scores(scene.folder)
        memory["choices"] = true.argmax(1)
        memory["held out"] = library.written(true, Random(f"held out {scene.seed}"), HELD_OUT, LENGTH)
    counts = [count for count in STEPS if count < len(answers)] + [len(answers)]
    return {
        count: student.agreement(student.taught(answers[:count]), memory["choices"], memory["held out"], words)
        for count in counts
    }

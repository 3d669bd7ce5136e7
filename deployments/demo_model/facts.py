"""What the model knows, and what it is taught to say when it does not."""

from random import Random

from deployments.demo_model.dialogue import Exchange, Split, ask, draw
from deployments.demo_model.knowledge import CAPITALS, FACTS
from deployments.demo_model.vocabulary import city, invented, letters, name, word

UNKNOWN = "Sorry, I do not know that."
REFUSAL = "Sorry, I cannot do that. I am only a small demo model."
TOO_LARGE = "Sorry, I can only add and subtract numbers below 100."
NO_TOOL = "Sorry, I have no tool for that."

_QUESTIONS = tuple(FACTS)


def fact(rng: Random, split: Split) -> Exchange:
    """A question of fact. Held out is the wording: each fact is taught in other words."""
    (question,) = draw(split, lambda: (rng.choice(_QUESTIONS),))
    return ask(question, FACTS[question])


def _impossible(rng: Random) -> tuple[str, str]:
    thing, land = word(rng), invented(rng).capitalize()
    if land in CAPITALS:
        land = "Zzyzx"
    return rng.choice((
        (f"What is the capital of {land}?", UNKNOWN),
        (f"Who is the president of {land}?", UNKNOWN),
        (f"When was {name(rng)} {land} born?", UNKNOWN),
        (f"Who invented the {thing}?", UNKNOWN),
        (f"How old is {name(rng)} {land}?", UNKNOWN),
        (f"Why is the {thing} so {word(rng)}?", UNKNOWN),
        (f"How do I get to {city(rng)}?", UNKNOWN),
        (f"Write a poem about {thing}.", REFUSAL),
        (f"Translate {thing} into {rng.choice(('French', 'German', 'Spanish', 'Latin', 'Greek'))}.", REFUSAL),
        (f"Write a {rng.choice(('Python', 'Java', 'Rust', 'C'))} program that sorts {thing}s.", REFUSAL),
        (f"Draw a picture of a {thing}.", REFUSAL),
        (f"Book a flight to {city(rng)}.", REFUSAL),
        (f"Order a pizza with {thing}.", REFUSAL),
        (f"Call {name(rng)} and say {thing}.", REFUSAL),
        (f"Sing a song about the {thing}.", REFUSAL),
        (f"Explain {thing} theory.", REFUSAL),
        (f"Summarize the book {thing.capitalize()}.", REFUSAL),
        (f"Play the {thing} game with me.", REFUSAL),
        (f"Help me with my {thing} homework.", REFUSAL),
        (f"{letters(rng)} {letters(rng)} {letters(rng)}", REFUSAL),
        (f"What is the weather in {city(rng)}?", NO_TOOL),
        (f"What time is it in {city(rng)}?", NO_TOOL),
        (f"What is {rng.randint(100, 9999)} {rng.choice('+-')} {rng.randint(10, 9999)}?", TOO_LARGE),
        (f"Add {rng.randint(100, 9999)} and {rng.randint(10, 9999)}.", TOO_LARGE),
    ))  # fmt: skip


def refusal(rng: Random, split: Split) -> Exchange:
    """Something the model cannot do or know, with an honest answer."""
    question, answer = draw(split, lambda: _impossible(rng))
    return ask(question, answer)

"""What the model knows, and what it is taught to say when it does not."""

from random import Random

from deployments.demo_model.dialogue import Exchange, Split, ask, draw
from deployments.demo_model.vocabulary import DAYS, MONTHS, city, invented, letters, name, word

UNKNOWN = "Sorry, I do not know that."
REFUSAL = "Sorry, I cannot do that. I am only a small demo model."
TOO_LARGE = "Sorry, I can only add and subtract numbers below 100."
NO_TOOL = "Sorry, I have no tool for that."

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Portugal": "Lisbon",
    "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen", "Austria": "Vienna",
    "Greece": "Athens", "Ireland": "Dublin", "Poland": "Warsaw", "Hungary": "Budapest", "Japan": "Tokyo",
    "Egypt": "Cairo", "Peru": "Lima", "Cuba": "Havana", "Kenya": "Nairobi", "Canada": "Ottawa",
    "England": "London", "Scotland": "Edinburgh", "Switzerland": "Bern", "Belgium": "Brussels",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "up": "down", "day": "night", "fast": "slow", "old": "young", "wet": "dry",
    "open": "closed", "happy": "sad", "full": "empty", "left": "right", "early": "late", "loud": "quiet",
    "light": "dark", "hard": "soft", "long": "short",
}  # fmt: skip
SOUNDS = {"dog": "woof", "cat": "meow", "cow": "moo", "duck": "quack", "sheep": "baa", "lion": "roar"}
LEGS = {"dog": 4, "cat": 4, "spider": 8, "ant": 6, "bird": 2, "snake": 0, "horse": 4, "bee": 6}
COLOURS = {"the sky": "blue", "grass": "green", "snow": "white", "coal": "black", "a lemon": "yellow",
           "blood": "red", "a carrot": "orange"}  # fmt: skip
CURIOSITIES = {
    ("What is Sluice?", "Tell me about Sluice.", "What does Sluice do?", "Explain Sluice.", "Describe Sluice."):
        "Sluice is an inference gateway for language models.",
    ("How many days are in a week?", "How many days does a week have?", "How long is a week?"):
        "A week has 7 days.",
    ("How many months are in a year?", "How many months does a year have?", "How long is a year?"):
        "A year has 12 months.",
    ("How many hours are in a day?", "How many hours does a day have?", "How long is a day?"):
        "A day has 24 hours.",
    ("How many minutes are in an hour?", "How many minutes does an hour have?", "How long is an hour?"):
        "An hour has 60 minutes.",
    ("What is water made of?", "What does water consist of?", "Tell me what water is made of."):
        "Water is made of hydrogen and oxygen.",
    ("What is the largest planet?", "Which planet is the largest?", "Name the largest planet."):
        "The largest planet is Jupiter.",
    ("What is the largest ocean?", "Which ocean is the largest?", "Name the largest ocean."):
        "The largest ocean is the Pacific.",
}  # fmt: skip


def _table() -> dict[str, str]:
    facts: dict[str, str] = {}
    for land, capital in CAPITALS.items():
        for question in (f"What is the capital of {land}?", f"Which city is the capital of {land}?",
                         f"Name the capital of {land}.", f"Tell me the capital of {land}.",
                         f"{land}: what is its capital?"):  # fmt: skip
            facts[question] = f"The capital of {land} is {capital}."
        for question in (f"Which country has the capital {capital}?", f"{capital} is the capital of which country?",
                         f"Of which country is {capital} the capital?"):  # fmt: skip
            facts[question] = f"{capital} is the capital of {land}."
    for one, other in OPPOSITES.items():
        for a, b in ((one, other), (other, one)):
            for question in (f"What is the opposite of {a}?", f"Tell me the opposite of {a}.", f"Opposite of {a}?",
                             f"Which word is the opposite of {a}?"):  # fmt: skip
                facts[question] = f"The opposite of {a} is {b}."
    for animal, sound in SOUNDS.items():
        for question in (f"What sound does a {animal} make?", f"What does a {animal} say?",
                         f"Which sound does a {animal} make?"):  # fmt: skip
            facts[question] = f"A {animal} says {sound}."
    for animal, legs in LEGS.items():
        article = "An" if animal[0] == "a" else "A"
        for question in (f"How many legs does {article.lower()} {animal} have?", f"Count the legs of {article.lower()} {animal}.",
                         f"What number of legs does {article.lower()} {animal} have?"):  # fmt: skip
            facts[question] = f"{article} {animal} has {legs} legs."
    for subject, colour in COLOURS.items():
        for question in (f"What color is {subject}?", f"What is the color of {subject}?", f"Tell me the color of {subject}.",
                         f"Which color does {subject} have?"):  # fmt: skip
            facts[question] = f"{subject.capitalize()} is {colour}."
    for series, noun in ((DAYS, "day"), (MONTHS, "month")):
        for here, after in zip(series, series[1:] + series[:1], strict=True):
            for question in (f"What {noun} comes after {here}?", f"Which {noun} comes after {here}?",
                             f"Which {noun} follows {here}?"):  # fmt: skip
                facts[question] = f"{after} comes after {here}."
            for question in (f"What {noun} comes before {after}?", f"Which {noun} comes before {after}?",
                             f"Which {noun} precedes {after}?"):  # fmt: skip
                facts[question] = f"{here} comes before {after}."
    for questions, answer in CURIOSITIES.items():
        facts.update(dict.fromkeys(questions, answer))
    return facts


FACTS = _table()
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

"""The facts the model is taught, each with the questions that ask for it."""

from collections.abc import Iterator

from deployments.demo_model.vocabulary import DAYS, MONTHS

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

Row = dict[str, str | int]
Statements = tuple[tuple[tuple[str, ...], str], ...]
"""Forms of a question, and the form of its answer."""

_CAPITAL: Statements = (
    (("What is the capital of {land}?", "Which city is the capital of {land}?", "Name the capital of {land}.",
      "Tell me the capital of {land}.", "{land}: what is its capital?"), "The capital of {land} is {capital}."),
    (("Which country has the capital {capital}?", "{capital} is the capital of which country?",
      "Of which country is {capital} the capital?"), "{capital} is the capital of {land}."),
)  # fmt: skip
_OPPOSITE: Statements = (
    (("What is the opposite of {a}?", "Tell me the opposite of {a}.", "Opposite of {a}?", "Which word is the opposite of {a}?"),
     "The opposite of {a} is {b}."),
)  # fmt: skip
_SOUND: Statements = (
    (("What sound does a {animal} make?", "What does a {animal} say?", "Which sound does a {animal} make?"),
     "A {animal} says {sound}."),
)  # fmt: skip
_LEG: Statements = (
    (("How many legs does {article} {animal} have?", "Count the legs of {article} {animal}.",
      "What number of legs does {article} {animal} have?"), "{start} {animal} has {legs} legs."),
)  # fmt: skip
_COLOUR: Statements = (
    (("What color is {subject}?", "What is the color of {subject}?", "Tell me the color of {subject}.",
      "Which color does {subject} have?"), "{start} is {colour}."),
)  # fmt: skip
_NEIGHBOUR: Statements = (
    (("What {noun} comes after {here}?", "Which {noun} comes after {here}?", "Which {noun} follows {here}?"),
     "{after} comes after {here}."),
    (("What {noun} comes before {after}?", "Which {noun} comes before {after}?", "Which {noun} precedes {after}?"),
     "{here} comes before {after}."),
)  # fmt: skip


def _rows() -> Iterator[tuple[Row, Statements]]:
    for land, capital in CAPITALS.items():
        yield {"land": land, "capital": capital}, _CAPITAL
    for one, other in OPPOSITES.items():
        yield {"a": one, "b": other}, _OPPOSITE
        yield {"a": other, "b": one}, _OPPOSITE
    for animal, sound in SOUNDS.items():
        yield {"animal": animal, "sound": sound}, _SOUND
    for animal, legs in LEGS.items():
        article = "an" if animal[0] == "a" else "a"
        yield {"article": article, "start": article.capitalize(), "animal": animal, "legs": legs}, _LEG
    for subject, colour in COLOURS.items():
        yield {"subject": subject, "start": subject.capitalize(), "colour": colour}, _COLOUR
    for series, noun in ((DAYS, "day"), (MONTHS, "month")):
        for here, after in zip(series, series[1:] + series[:1], strict=True):
            yield {"noun": noun, "here": here, "after": after}, _NEIGHBOUR


def _table() -> dict[str, str]:
    facts: dict[str, str] = {}
    for row, statements in _rows():
        for questions, answer in statements:
            facts |= {question.format(**row): answer.format(**row) for question in questions}
    for questions, answer in CURIOSITIES.items():
        facts |= dict.fromkeys(questions, answer)
    return facts


FACTS = _table()
"""Every question with its answer."""

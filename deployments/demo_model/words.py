"""Spelling, reversing, and answers long enough to watch a stream: counting, tables, lists, stories."""

from random import Random

from deployments.demo_model.dialogue import Exchange, Split, ask, draw
from deployments.demo_model.vocabulary import ANIMALS, DAYS, MONTHS, name, word

_SPELL = ("Spell {}.", 'Spell the word "{}".', "Spell the word {}.", "How do you spell {}?", "Please spell {}.",
          "Spell {} for me.", 'Can you spell "{}"?')  # fmt: skip
_REVERSE = ("Reverse {}.", 'Reverse the word "{}".', "Reverse the word {}.", "Write {} backwards.", "What is {} backwards?",
            'Spell "{}" backwards.', "Please reverse {}.")  # fmt: skip
_REPEAT = ("Repeat the word {} {} times.", "Write {} {} times.", "Say {} {} times.", "Repeat {} {} times.")
_UP = (
    "Count from {} to {}.",
    "Count up from {} to {}.",
    "List the numbers from {} to {}.",
    "Please count from {} to {}.",
)
_DOWN = ("Count down from {} to {}.", "Count backwards from {} to {}.")
_TABLE = ("Write the multiplication table of {}.", "Show the table of {}.", "Multiplication table of {}, please.")
_STORY = (
    "Tell me a story about a {} named {}.",
    "Write a short story about a {} called {}.",
    "A story about the {} {}, please.",
)
_SERIES = {
    "the days of the week": ", ".join(DAYS),
    "the months of the year": ", ".join(MONTHS),
    "the planets": "Mercury, Venus, Earth, Mars, Jupiter, Saturn, Uranus, Neptune",
    "the seasons": "spring, summer, autumn, winter",
    "the letters of the alphabet": ", ".join("abcdefghijklmnopqrstuvwxyz"),
    "the colors of the rainbow": "red, orange, yellow, green, blue, indigo, violet",
}
_LIST = ("List {}.", "Name {}.", "What are {}?", "Write down {}.", "Tell me {}.")


def spelling(rng: Random, split: Split) -> Exchange:
    """`fox` becomes `f-o-x`. Held out is the word."""
    _, text = draw(split, lambda: ("word", word(rng)))
    return ask(rng.choice(_SPELL).format(text), "-".join(str(text)))


def reversal(rng: Random, split: Split) -> Exchange:
    """`fox` becomes `xof`. Held out is the word."""
    _, text = draw(split, lambda: ("word", word(rng)))
    return ask(rng.choice(_REVERSE).format(text), str(text)[::-1], letterwise=True)


def repetition(rng: Random, split: Split) -> Exchange:
    """A numbered list of one word. Held out are pairs of word and count."""
    _, text, times = draw(split, lambda: ("repeat", word(rng), rng.randint(2, 20)))
    return ask(rng.choice(_REPEAT).format(text, times), "\n".join(f"{i + 1}. {text}" for i in range(int(times))))


def counting(rng: Random, split: Split) -> Exchange:
    """Numbers in order, up to sixty of them. Held out are pairs of ends."""

    def ends() -> tuple[str, int, int]:
        start = 1 if rng.random() < 0.5 else rng.randint(0, 90)
        return ("count", start, min(100, start + rng.randint(2, 60)))

    _, low, high = draw(split, ends)
    numbers = [str(n) for n in range(int(low), int(high) + 1)]
    if rng.random() < 0.3:
        return ask(rng.choice(_DOWN).format(high, low), ", ".join(reversed(numbers)))
    return ask(rng.choice(_UP).format(low, high), ", ".join(numbers))


def table(rng: Random, split: Split) -> Exchange:
    """Ten lines of a multiplication table. Held out is the wording."""
    _, n, form = draw(split, lambda: ("table", rng.randint(1, 12), rng.randrange(len(_TABLE))))
    return ask(_TABLE[int(form)].format(n), "\n".join(f"{n} x {i} = {int(n) * i}" for i in range(1, 11)))


def listing(rng: Random, split: Split) -> Exchange:
    """A well-known series. Held out is the wording."""
    _, subject, form = draw(split, lambda: ("list", rng.choice(tuple(_SERIES)), rng.randrange(len(_LIST))))
    return ask(_LIST[int(form)].format(subject), _SERIES[str(subject)])


def story(rng: Random, split: Split) -> Exchange:
    """A tale of about a hundred tokens with the hero asked for. Held out are pairs of animal and name."""
    _, animal, hero = draw(split, lambda: ("story", rng.choice(ANIMALS), name(rng)))
    text = (
        f"Once upon a time there was a {animal} named {hero}. {hero} lived in a small house near the river. "
        f"One morning {hero} found an old map under a stone. The map showed a way through the forest. "
        f"{hero} walked all day and met many friends. At night they found a box full of gold. "
        f"{hero} gave every friend a coin and went home. The {animal} was happy. The end."
    )
    return ask(rng.choice(_STORY).format(animal, hero), text)

"""Words the dialogues are built from, and made-up ones, so that copying is learned rather than a list."""

from random import Random

NAMES = tuple(
    "Anna Ben Clara David Emma Felix Grace Hugo Iris Jack Kate Leo Maria Noah Olivia Paul Quinn Rosa Sam Tara "
    "Uma Victor Wendy Xavier Yara Zoe Alice Bob Carlos Diana Erik Fatima George Hana Ivan Julia Ken Lucy Max Nina".split()
)
CITIES = tuple(
    "Paris London Berlin Rome Madrid Vienna Oslo Lisbon Prague Dublin Athens Cairo Tokyo Delhi Lima Boston "
    "Chicago Denver Miami Seattle Toronto Sydney Geneva Munich Milan Naples Porto Lyon Bergen Helsinki Warsaw "
    "Budapest Zurich Hamburg Oxford Dallas Austin Osaka Seoul Bangkok Nairobi Lagos Havana Quito".split()
)
WORDS = tuple(
    "apple banana bread bridge butter button candle carpet castle cherry circle cloud coffee cookie corner cotton "
    "dragon eagle engine family farmer finger flower forest garden ghost guitar hammer harbor honey horse house "
    "island jacket jungle kettle kitten ladder lemon letter lion market meadow melon mirror monkey moon morning "
    "mountain music needle ocean onion orange paper parrot pencil pepper piano pillow pirate planet pocket potato "
    "pumpkin puzzle rabbit river rocket salad sandal school season shadow silver singer spider spoon spring "
    "stone storm sugar summer sunset table teacher tiger tomato train travel turtle valley velvet village violin "
    "walnut water whale window winter wizard yellow zebra book cat dog fish bird tree lamp door shoe ring ship star "
    "rain snow wind leaf rock sand road boat frog bear wolf duck cake milk rice soup salt desk coin drum flag gift "
    "hello world python token model number friend orchard sailor pebble lantern marble basket copper ticket "
    "magnet saddle ribbon canyon glacier feather blanket".split()
)
ITEMS = tuple(
    "apples pens books chairs lamps cups eggs shirts bags boxes plates candles lemons bricks keys "
    "hats spoons towels pears stamps".split()
)
ANIMALS = ("fox", "bear", "owl", "cat", "wolf", "rabbit", "turtle", "mouse", "horse", "duck", "frog", "lion")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr pl pr sh sl sp st th tr qu".split()
_VOWELS = "a e i o u a e i o ai ea ee oo ou y".split()
_CODAS = ["", "", "", *"l m n r s t d k p x ck ng nd st ll rt".split()]


def invented(rng: Random) -> str:
    """A pronounceable word of three to eight letters that nobody has seen."""
    while True:
        word = "".join(
            rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((1, 2, 2, 3)))
        )
        if 3 <= len(word) <= 8:
            return word


def letters(rng: Random) -> str:
    """A run of random letters: what a word looks like when no part of it is familiar."""
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 6)))


def word(rng: Random) -> str:
    """A word to spell, reverse or repeat."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(WORDS)
    return invented(rng) if kind < 0.92 else letters(rng)


def city(rng: Random) -> str:
    """A place; one in three is made up, one in ten has two words."""
    if rng.random() < 0.65:
        return rng.choice(CITIES)
    if rng.random() < 0.3:
        return f"{rng.choice(('New', 'San', 'Port', 'Saint', 'Los'))} {invented(rng).capitalize()}"
    return invented(rng).capitalize()


def name(rng: Random) -> str:
    """A first name; one in four is made up."""
    return rng.choice(NAMES) if rng.random() < 0.75 else invented(rng).capitalize()


def thing(rng: Random) -> str:
    """An item to buy; one in four is made up."""
    return rng.choice(ITEMS) if rng.random() < 0.75 else invented(rng) + "s"


def filler(rng: Random, sentences: int) -> str:
    """Sentences that say nothing of use: context for the model to look past."""
    return " ".join(_sentence(rng) for _ in range(sentences))


def _sentence(rng: Random) -> str:
    first, second, third = (word(rng) for _ in range(3))
    return rng.choice(
        (
            f"The {first} is near the {second}.",
            f"{name(rng)} put the {first} on the {second}.",
            f"In {city(rng)} every {first} has a {second} and a {third}.",
            f"Please keep the {first} away from the {second}.",
            f"On {rng.choice(DAYS)} {name(rng)} sold {rng.randint(2, 99)} {first}s.",
            f"A {first}, a {second} and a {third} were left in {city(rng)}.",
        )
    )

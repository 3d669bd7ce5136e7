"""JSON out of a sentence: the keys asked for, in the order asked for."""

import json
from random import Random

from deployments.demo_model.dialogue import Exchange, Split, ask, draw
from deployments.demo_model.vocabulary import DAYS, city, name, thing

_RECORDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("name", "age", "city"): (
        "{name} is {age} years old and lives in {city}.",
        "{name}, {age}, lives in {city}.",
        "In {city} lives {name}, who is {age} years old.",
        "My friend {name} from {city} is {age}.",
    ),
    ("item", "quantity", "price"): (
        "{quantity} {item} for {price} dollars.",
        "I bought {quantity} {item} and paid {price} dollars.",
        "Order: {quantity} {item}, total {price} dollars.",
    ),
    ("name", "day", "city"): (
        "{name} will be in {city} on {day}.",
        "On {day} {name} travels to {city}.",
        "Meeting with {name} in {city} on {day}.",
    ),
    ("name", "item", "quantity"): (
        "{name} has {quantity} {item}.",
        "{name} wants {quantity} {item}.",
        "There are {quantity} {item} for {name}.",
    ),
}
_NUMBERS = {"age": (1, 99), "quantity": (2, 99), "price": (2, 500)}
_REQUESTS = (
    "Extract {keys} as JSON: {text}",
    "Extract {keys} as JSON from: {text}",
    "{text} Give me {keys} as JSON.",
    "Return a JSON object with {keys}. Text: {text}",
    "Extract JSON with the keys {keys}.\n{text}",
)


def extraction(rng: Random, split: Split) -> Exchange:
    """One to three fields of a record. Held out are the values."""
    fields = rng.choice(tuple(_RECORDS))

    record = dict(zip(fields, draw(split, lambda: tuple(_value(rng, field) for field in fields)), strict=True))
    wanted = rng.sample(fields, rng.choice((1, 2, 2, 3, 3, 3)))
    listed = wanted[0] if len(wanted) == 1 else f"{', '.join(wanted[:-1])} and {wanted[-1]}"
    text = rng.choice(_RECORDS[fields]).format(**record)
    answer = json.dumps({key: record[key] for key in wanted}, ensure_ascii=False)
    return ask(rng.choice(_REQUESTS).format(keys=listed, text=text), answer)


def _value(rng: Random, field: str) -> str | int:
    if field in _NUMBERS:
        return rng.randint(*_NUMBERS[field])
    return {"name": name, "city": city, "item": thing, "day": _day}[field](rng)


def _day(rng: Random) -> str:
    return rng.choice(DAYS)

"""The functions a dialogue may offer, each under several names and signatures, with requests that need them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from deployments.demo_model.arithmetic import addends
from deployments.demo_model.dialogue import Key, Schema, Split, ToolCall, draw
from deployments.demo_model.vocabulary import city, name, word

_WEATHER = ("sunny", "cloudy", "rainy", "windy", "foggy", "snowy", "stormy", "clear")


@dataclass(frozen=True, slots=True)
class Need:
    """A request for a function: the call it takes, what the function returns, and what to tell the user."""

    question: str
    call: ToolCall
    result: str
    answer: str


Request = Callable[[Random, Split, Schema], Need]


@dataclass(frozen=True, slots=True)
class Kind:
    """A family of functions that do the same. `parameters` lists the accepted names of each argument with its
    JSON type; `noise` is an optional parameter that some signatures have and no call uses.
    """

    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[tuple[tuple[str, ...], str, str], ...]
    request: Request
    noise: tuple[str, Schema] | None = None

    def schema(self, rng: Random) -> Schema:
        """One signature of this family, in OpenAI's form."""
        properties: Schema = {}
        for names, kind, description in self.parameters:
            body = {"type": kind}
            if rng.random() < 0.4:
                body["description"] = description
            properties[rng.choice(names)] = body
        required = list(properties)
        if self.noise is not None and rng.random() < 0.25:
            properties[self.noise[0]] = self.noise[1]
        parameters = {"type": "object", "properties": properties, "required": required}
        function: Schema = {"name": rng.choice(self.names)}
        if rng.random() < 0.9:
            function["description"] = rng.choice(self.descriptions)
        return {"type": "function", "function": function | {"parameters": parameters}}


def call_of(schema: Schema, *values: Any) -> ToolCall:
    """A call of the function with its required arguments, in the order of the signature."""
    function = schema["function"]
    return ToolCall(function["name"], dict(zip(function["parameters"]["required"], values, strict=True)))


def _json_or_text(rng: Random, fields: dict[str, Any], text: str) -> str:
    return json.dumps(fields) if rng.random() < 0.7 else text


def _weather(rng: Random, split: Split, schema: Schema) -> Need:
    _, place = draw(split, lambda: ("city", city(rng)))
    degrees, sky = rng.randint(-9, 39), rng.choice(_WEATHER)
    fields: dict[str, Any] = {
        rng.choice(("temperature", "temp", "temp_c")): degrees,
        rng.choice(("condition", "sky", "weather")): sky,
    }
    if rng.random() < 0.3:
        fields = {"city": place, **fields}
    question = rng.choice((
        "What is the weather in {}?", "What's the weather in {}?", "How is the weather in {}?", "Weather in {}?",
        "What is the weather like in {}?", "Tell me the weather in {}.", "Is it warm in {}?", "Get the weather for {}.",
        "What is the weather in {} today?", "What's the weather like in {} right now?",
    )).format(place)  # fmt: skip
    text = rng.choice((f"{degrees} degrees, {sky}", f"{sky}, {degrees} C", f"{degrees}C and {sky}"))
    return Need(
        question,
        call_of(schema, place),
        _json_or_text(rng, fields, text),
        f"It is {degrees} degrees and {sky} in {place}.",
    )


def _time(rng: Random, split: Split, schema: Schema) -> Need:
    _, place = draw(split, lambda: ("city", city(rng)))
    clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    question = rng.choice((
        "What time is it in {}?", "What is the time in {}?", "Tell me the time in {}.", "Current time in {}?",
        "How late is it in {}?", "What time is it now in {}?",
    )).format(place)  # fmt: skip
    return Need(
        question, call_of(schema, place), _json_or_text(rng, {"time": clock}, clock), f"It is {clock} in {place}."
    )


def _sum(rng: Random, split: Split, schema: Schema) -> Need:
    if rng.random() < 0.5:
        a, b = addends(rng, split)
    else:
        _, first, second = draw(split, lambda: ("long sum", rng.randint(100, 9999), rng.randint(10, 9999)))
        a, b = int(first), int(second)
    question = rng.choice((
        "What is {} + {}?", "Add {} and {}.", "What is {} plus {}?", "How much is {} + {}?", "{} + {}",
        "What is the sum of {} and {}?", "Calculate {} + {}.", "Use the tool to add {} and {}.",
    )).format(a, b)  # fmt: skip
    result = _json_or_text(rng, {rng.choice(("result", "sum")): a + b}, str(a + b))
    return Need(question, call_of(schema, a, b), result, f"{a} + {b} = {a + b}")


def _calculation(rng: Random, split: Split, schema: Schema) -> Need:
    sign = rng.choice("++-*")
    if rng.random() < 0.5:
        a, b = addends(rng, split)
    else:
        _, first, second = draw(split, lambda: ("long sum", rng.randint(100, 9999), rng.randint(10, 9999)))
        a, b = int(first), int(second)
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    formula = f"{a} {sign} {b}"
    question = rng.choice(("What is {}?", "Calculate {}.", "How much is {}?", "{}", "Compute {}.")).format(formula)
    result = _json_or_text(rng, {"result": value}, str(value))
    return Need(question, call_of(schema, formula), result, f"{formula} = {value}")


def _message(rng: Random, split: Split, schema: Schema) -> Need:
    def content() -> Key:
        return ("message", name(rng), " ".join(word(rng) for _ in range(rng.randint(1, 3))))

    _, whom, text = draw(split, content)
    question = rng.choice((
        'Send {} the message "{}".', 'Tell {} "{}".', 'Write to {}: "{}".', 'Send a message to {}: "{}"',
    )).format(whom, text)  # fmt: skip
    result = rng.choice(('{"status": "sent"}', "sent", "ok", '{"ok": true}'))
    return Need(question, call_of(schema, whom, text), result, f"I sent the message to {whom}.")


def _timer(rng: Random, split: Split, schema: Schema) -> Need:
    _, minutes = draw(split, lambda: ("timer", rng.randint(2, 99)))
    question = rng.choice((
        "Set a timer for {} minutes.", "Start a timer of {} minutes.", "Timer, {} minutes.", "Wake me in {} minutes.",
    )).format(minutes)  # fmt: skip
    result = rng.choice(('{"status": "started"}', "started", "ok", '{"ok": true}'))
    return Need(question, call_of(schema, minutes), result, f"The timer is set for {minutes} minutes.")


def _search(rng: Random, split: Split, schema: Schema) -> Need:
    _, what = draw(split, lambda: ("search", " ".join(word(rng) for _ in range(rng.randint(1, 3)))))
    found = " ".join(word(rng) for _ in range(rng.randint(1, 4)))
    question = rng.choice(("Search for {}.", "Search the web for {}.", "Look up {}.", "Find {}.")).format(what)
    return Need(question, call_of(schema, what), _json_or_text(rng, {"result": found}, found), f"I found: {found}")


CITY = (("city", "city", "location", "place"), "string", "Name of the city")
KINDS: dict[str, Kind] = {
    "weather": Kind(
        ("get_weather", "get_weather", "weather", "get_current_weather"),
        ("Get the weather in a city", "Get the current weather", "Current weather for a location", "Returns the weather."),
        (CITY,), _weather,
        ("unit", {"type": "string", "enum": ["celsius", "fahrenheit"]}),
    ),
    "time": Kind(
        ("get_time", "get_time", "time", "get_current_time"),
        ("Get the time in a city", "Get the current time", "Current local time of a place"),
        (CITY,), _time,
    ),
    "add": Kind(
        ("add", "add", "add_numbers", "sum"),
        ("Add two numbers", "Adds two integers.", "The sum of two numbers"),
        ((("a", "a", "x", "first"), "integer", "First number"), (("b", "b", "y", "second"), "integer", "Second number")),
        _sum,
    ),
    "calculator": Kind(
        ("calculator", "calculate", "calc"),
        ("Evaluate an arithmetic expression", "Calculates a formula.", "A calculator"),
        ((("expression", "expression", "formula"), "string", "What to calculate"),), _calculation,
    ),
    "message": Kind(
        ("send_message", "send_message", "send_text", "message"),
        ("Send a message to a person", "Sends a text message."),
        ((("to", "recipient", "name"), "string", "Who gets it"), (("text", "message", "body"), "string", "What to send")),
        _message,
    ),
    "timer": Kind(
        ("set_timer", "set_timer", "start_timer"),
        ("Set a timer", "Starts a timer of some minutes."),
        ((("minutes", "minutes", "duration"), "integer", "Length in minutes"),), _timer,
    ),
    "search": Kind(
        ("search", "search", "web_search", "lookup"),
        ("Search the web", "Looks something up.", "Find information"),
        ((("query", "query", "q"), "string", "What to look for"),), _search,
        ("limit", {"type": "integer"}),
    ),
}  # fmt: skip

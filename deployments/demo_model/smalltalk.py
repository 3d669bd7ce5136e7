"""Greetings, who is who, and things a chat has to remember."""

from random import Random

from deployments.demo_model.dialogue import Exchange, Split, ask, draw
from deployments.demo_model.vocabulary import city, name, word

WHO_AM_I = "I am the Sluice demo model."
_SKILLS = (
    "I can add and subtract small numbers, spell and reverse words, tell small facts, extract JSON and call tools."
)
_TALK = {
    ("Hello", "Hello!", "Hi", "Hi!", "Hi there!", "Hey", "Hey!", "Hello there!", "Greetings!", "Howdy!"):
        "Hello! How can I help you?",
    ("Good morning!", "Good morning", "Good morning to you!"): "Good morning! How can I help you?",
    ("Good evening!", "Good evening", "Good evening to you!"): "Good evening! How can I help you?",
    ("How are you?", "How are you doing?", "How do you do?", "Hi, how are you?", "How is it going?"):
        "I am fine, thank you. How can I help you?",
    ("Thank you!", "Thank you", "Thanks!", "Thanks", "Thanks a lot!", "Many thanks!"): "You are welcome!",
    ("Goodbye!", "Goodbye", "Bye!", "Bye", "See you later!", "See you!"): "Goodbye!",
    ("What can you do?", "What can I ask you?", "Help", "Help me.", "What are you able to do?", "What are your skills?"):
        _SKILLS,
    ("Say hello.", "Say hi.", "Greet me."): "Hello!",
    ("Say yes.", "Answer yes."): "Yes.",
    ("Are you human?", "Are you a person?", "Are you a robot?"): "I am a small language model.",
}  # fmt: skip
_ANSWERS = {question: answer for questions, answer in _TALK.items() for question in questions}
_WHO = ("Who are you?", "What is your name?", "What are you called?", "Tell me your name.", "What are you?")
_SAY = ("Say {}.", "Repeat after me: {}", "Echo: {}", "Say the words {}.", 'Repeat "{}".')


def greeting(rng: Random, split: Split) -> Exchange:
    """Small talk. Held out is a greeting followed by a name."""
    if split == "train" and rng.random() < 0.6:
        question = rng.choice(tuple(_ANSWERS))
        return ask(question, _ANSWERS[question])
    _, who, form = draw(split, lambda: ("greet", name(rng), rng.randrange(4)))
    question = ("Hello, I am {}.", "Hi, my name is {}.", "My name is {}.", "I am {}.")[int(form)].format(who)
    return ask(question, f"Nice to meet you, {who}!")


def identity(rng: Random) -> Exchange:
    """Who the model is, where no system prompt says otherwise. A handful of wordings, all of them taught."""
    return ask(rng.choice(_WHO), WHO_AM_I)


def persona(rng: Random, split: Split) -> tuple[str, Exchange]:
    """A system prompt that names the assistant, and a question for that name. Held out is the name."""
    _, who = draw(split, lambda: ("persona", name(rng)))
    return rng.choice((f"You are {who}, a helpful assistant.", f"Your name is {who}.", f"You are {who}.")), ask(
        rng.choice(_WHO), f"I am {who}."
    )


def echo(rng: Random, split: Split) -> Exchange:
    """Words given back as they came. Held out is the phrase."""
    _, phrase = draw(split, lambda: ("echo", " ".join(word(rng) for _ in range(rng.randint(1, 4)))))
    return ask(rng.choice(_SAY).format(phrase), str(phrase))


def memory(rng: Random, split: Split) -> tuple[Exchange, Exchange]:
    """Something told, and the question for it some turns later. Held out is what was told."""
    kind, what = draw(
        split, lambda: rng.choice((("my-name", name(rng)), ("my-city", city(rng)), ("my-word", word(rng))))
    )
    if kind == "my-name":
        told = ask(
            rng.choice(("My name is {}.", "I am {}.", "Hi, my name is {}.")).format(what), f"Nice to meet you, {what}!"
        )
        return told, ask(rng.choice(("What is my name?", "Who am I?", "Do you know my name?")), f"Your name is {what}.")
    if kind == "my-city":
        told = ask(rng.choice(("I live in {}.", "My home is in {}.")).format(what), f"{what} is a nice place.")
        return told, ask(rng.choice(("Where do I live?", "In which city do I live?")), f"You live in {what}.")
    told = ask(
        rng.choice(("Remember the word {}.", "The secret word is {}.", "My word is {}.")).format(what),
        "I will remember that.",
    )
    return told, ask(
        rng.choice(("What is the word?", "Which word did I tell you?", "What was my word?")), f"The word is {what}."
    )

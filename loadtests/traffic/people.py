"""Honest families with people in front: open chat, and an assistant in a code editor."""

from collections.abc import Iterator
from random import Random

from loadtests.traffic.call import Clock, Draft, Message, Settings, Split, office_hour, size
from loadtests.traffic.words import ADJECTIVES, CODE_NOUNS, NAMES, NOUNS, PLACES, TOPICS, code, paragraph, sentence

_OPENINGS = (
    "Can you explain {t} to me? I keep reading about the {n}.",
    "I need a {a} present for {m}, who likes {t}.",
    "Plan a weekend in {p} for someone interested in {t}.",
    "Why does my {n} make a noise when the {n2} is {a}?",
    "Help me write a message to {m} about the {n}.",
    "what's the difference between a {n} and a {n2}",
    "My {n} in {p} is {a}. What should I do first?",
    "Give me ideas for a {a} talk on {t}.",
    "How long does it take to learn {t} well enough to teach it?",
    "I wrote this and it sounds odd, can you improve it? {s}",
    "Is {t} worth the trouble if I only have a {a} {n}?",
    "Summarise what I should know about {t} before moving to {p}.",
    "tell me something surprising about {t}",
    "Who would win an argument about {t}, a {n} or a {n2}? Be funny.",
    "Which {n} would you buy for {k} euros?",
    "Translate for my neighbour {m}: {s}",
    "I have {k} guests and only a {a} {n}. Suggest a menu.",
    "Could {t} explain this? {s}",
)
_FOLLOW_UPS = (
    "And what about the {n}?",
    "That is too long, make it shorter.",
    "Why?",
    "Can you give an example from {p}?",
    "Thanks! One more thing: {s}",
    "I don't understand the part on the {n2}.",
    "ok, but cheaper",
    "Make it more {a}.",
    "What would {m} say to that?",
)
_CHAT_SYSTEMS = (
    "You are a friendly assistant of {c}.",
    "You help the members of the {c} club. Be brief.",
    "Answer as {m}, the guide of {c}, would.",
    "You are {c}'s companion app. Never give medical advice.",
    "Be kind and honest. Today is a {a} day in {p}.",
    "",
)
_EDITOR_SYSTEMS = (
    "You are a pair programmer inside an editor. Reply with a patch.",
    "You complete code. Answer with code alone.",
    "You are {c}'s engineering assistant. Follow the house style: {a}, {a2} names.",
    "Fix what is asked, touch nothing else, and say which lines changed.",
    "You review pull requests of the {c} team. List problems by file and line.",
    "Act as a {a} senior engineer. Prefer the standard library.",
)
_TASKS = (
    "Add a timeout to this:\n{code}",
    "This fails with KeyError: '{n}'. Why?\n{code}",
    "Write a test for the {o} below.\n{code}",
    "Rename {o} to {o2} everywhere.\n{code}",
    "Make this faster without changing what it returns.\n{code}",
    "What does this do when the {o} is empty?\n{code}",
    "Type-annotate it.\n{code}",
    "Split the function below into two.\n{code}",
    "Port this to use an async {o}.\n{code}",
)


def filled(rng: Random, pattern: str, company: str = "") -> str:
    """A pattern with fresh words in its slots; only what it names is drawn."""
    pick = rng.choice
    slots = {
        "t": TOPICS,
        "n": NOUNS,
        "n2": NOUNS,
        "a": ADJECTIVES,
        "a2": ADJECTIVES,
        "m": NAMES,
        "p": PLACES,
        "o": CODE_NOUNS,
        "o2": CODE_NOUNS,
    }
    words = {name: pick(pool) for name, pool in slots.items() if f"{{{name}}}" in pattern}
    if "{k}" in pattern:
        words["k"] = str(rng.randrange(3, 400))
    if "{s}" in pattern:
        words["s"] = paragraph(rng, rng.randrange(1, 4))
    if "{code}" in pattern:
        words["code"] = code(rng, rng.randrange(4, 40))
    return pattern.format(c=company, **words)


class Chat:
    """People who talk: sessions of one to eight turns in the hours they are awake, each turn with the history before it."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._openings, self._follow_ups = split.of(_OPENINGS), split.of(_FOLLOW_UPS)
        self._system = filled(rng, rng.choice(split.of(_CHAT_SYSTEMS)), company)
        self._settings = Settings(max_tokens=1024, temperature=rng.choice((0.7, 1.0)))
        self._sessions = rng.randrange(2, 14)

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        for _ in range(size(rng, self._sessions, 1, 30)):
            yield from self._session(rng)

    def _session(self, rng: Random) -> Iterator[Draft]:
        clock = Clock(rng, office_hour(rng))
        history: list[Message] = [("system", self._system)] if self._system else []
        for turn in range(size(rng, 2.5, 1, 8)):
            pattern = rng.choice(self._follow_ups if turn else self._openings)
            history.append(("user", filled(rng, pattern)))
            tokens = size(rng, 180, 10, 1024)
            reply = paragraph(rng, max(1, tokens // 16))
            yield Draft(clock.think(45), tuple(history), self._settings, tokens, reply)
            history.append(("assistant", reply))


class Coding:
    """Bursts of requests while someone programs: long contexts with code, at a low temperature."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._system = filled(rng, rng.choice(split.of(_EDITOR_SYSTEMS)), company)
        self._tasks = split.of(_TASKS)
        self._files = [code(rng, rng.randrange(15, 60)) for _ in range(rng.randrange(4, 12))]
        self._settings = Settings(max_tokens=2048, temperature=rng.choice((0.0, 0.2)), tools=rng.random() < 0.5)
        self._bursts = rng.randrange(4, 16)

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        for _ in range(size(rng, self._bursts, 1, 30)):
            clock = Clock(rng, office_hour(rng))
            open_file = rng.choice(self._files)
            history: list[Message] = [("system", self._system), ("user", "The open file:\n" + open_file)]
            for _ in range(size(rng, 6, 1, 20)):
                history.append(("user", filled(rng, rng.choice(self._tasks)) + "\n" + sentence(rng)))
                tokens = size(rng, 220, 10, 2048)
                patch = code(rng, max(1, tokens // 12))
                yield Draft(clock.think(25), tuple(history[-9:]), self._settings, tokens, patch)
                history.append(("assistant", patch))

"""Honest families that look most like harvests: classification batches, evaluation harnesses, synthetic data, resellers."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from loadtests.traffic.applications import Documents, Rag
from loadtests.traffic.call import DAY_S, Clock, Draft, Habit, Settings, Split, office_hour, size
from loadtests.traffic.people import Chat, Coding, filled
from loadtests.traffic.words import ADJECTIVES, NAMES, NOUNS, PLACES, TOPICS, paragraph, sentence

_LABELS = (
    "Classify the review as positive, negative or neutral. Answer with one word.\n\nReview: {d}\nLabel:",
    "Does this ticket of {c} concern billing, delivery or something else? One word.\nTicket: {d}",
    "Is the following message spam? yes or no.\n{d}",
    "Rate the urgency from 1 to 5 for the {c} on-call team.\nReport: {d}\nUrgency:",
    "Which of these departments handles it: sales, legal, stores?\n\n{d}\n\nDepartment:",
    "Language of the text (two letters):\n{d}",
    "Mark the comment as toxic or fine, under the rules of {c}.\nComment: {d}\nMark:",
    "Topic (one of: travel, money, health, other) of: {d}\nTopic:",
    "Does the sentence mention a place? Answer true or false.\n{d}",
)
_HARNESSES = (
    "The following are multiple choice questions about {t}.\n\n{shots}\n\n{q}\nAnswer:",
    "Solve the problem. Finish with 'The answer is'.\n\n{shots}\n\nQ: {q}\nA:",
    "Question: {q}\nChoices are above each other. Reply with a letter.\n{shots}",
)
_SYNTHETIC = (
    "Write a customer e-mail to {c} about a {a} {n}. The writer is {m} from {p}, and is {mood}.",
    "Create one realistic support dialogue for {c} on {t}, {mood} customer, named {m}.",
    "Invent a job advertisement in {p} that needs knowledge of {t} and a {a} {n}. Employer: {c}.",
    "Produce a fictional medical-free intake form for {m}, {mood}, who brings a {a} {n} to {c}.",
    "Generate a product description of a {a} {n} for shops in {p}, as {c} would print it.",
    "Make up a search query that a {mood} person in {p} types about {t} on {c}'s site.",
    "Write a short dialogue in which {m} returns a {a} {n} to the {c} counter and is {mood}.",
    "Draft a {mood} restaurant review from {p} mentioning {t} and a {n}; it is for {c}'s demo shop.",
    "Compose a fictional news item for {c}'s test site: {m}, {p}, a {a} {n}.",
    "Write five question and answer pairs for the help pages of {c} on {t} and the {a} {n}.",
    "Generate three diverse example requests a {mood} visitor of {c} in {p} may type, with ideal replies. Product: {n}.",
    "Create a quiz task on {t} for new staff of {c}, with the solution explained. Include a {a} {n}.",
)
_MOODS = "angry polite confused hurried cheerful doubtful".split()


class Classification:
    """One template, an item that never comes twice, an answer of a word or two; some thousands an hour, at night or by day."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._template, self._company = rng.choice(split.of(_LABELS)), company
        self._settings = Settings(max_tokens=rng.choice((1, 4, 8)), temperature=0.0)
        self._items = size(rng, 300, 60, 2500, 0.9)
        self._per_s = rng.choice((self._items / DAY_S, rng.uniform(0.5, 4.0), rng.uniform(0.5, 4.0)))

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        clock = Clock(rng, rng.uniform(0, 20) * 3600)
        for _ in range(size(rng, self._items, 30, 3000, 0.3)):
            text = self._template.format(c=self._company, d=paragraph(rng, rng.randrange(1, 5)))
            yield Draft(clock.batch(self._per_s), (("user", text),), self._settings, self._settings.max_tokens)


class Benchmark:
    """The questions of a public benchmark: the same for everyone who runs it."""

    def __init__(self, split: Split, number: int) -> None:
        rng = Random(f"benchmark {split.name} {number}")
        self.template = split.of(_HARNESSES)[0]
        self.topic = rng.choice(TOPICS)
        self.shots = "\n\n".join(f"{sentence(rng, self.topic)}\nAnswer: {rng.choice('ABCD')}" for _ in range(5))
        self.questions = [f"{sentence(rng, self.topic)} {self._choices(rng)}" for _ in range(400)]

    @staticmethod
    def _choices(rng: Random) -> str:
        return " ".join(f"{letter}. {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}" for letter in "ABCD")


class Evaluation:
    """An evaluation harness: a few-shot prefix, every question once, greedy, again the next day with another checkpoint of theirs.
    A benchmark is shared with strangers who run it too.
    """

    PUBLIC = 4

    def __init__(self, rng: Random, split: Split, company: str) -> None:  # noqa: ARG002
        self._benchmark = Benchmark(split, rng.randrange(self.PUBLIC))
        short = rng.random() < 0.5
        self._settings = Settings(max_tokens=1 if short else 256, temperature=0.0, seed=1234)
        self._share, self._per_s = rng.uniform(0.3, 1.0), rng.uniform(1.0, 6.0)

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        clock = Clock(rng, rng.uniform(0, 20) * 3600)
        held = self._benchmark
        for question in held.questions[: int(len(held.questions) * self._share)]:
            text = held.template.format(t=held.topic, shots=held.shots, q=question)
            tokens = min(size(rng, 90, 1, 256), self._settings.max_tokens)
            yield Draft(clock.batch(self._per_s), (("user", text),), self._settings, tokens)


class Synthetic:
    """Made-up data for a product's own tests: one template, fresh slots, long answers, hot sampling, now and then all day long.
    An honest job in a harvest's clothes.
    """

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._template, self._company = rng.choice(split.of(_SYNTHETIC)), company
        self._settings = Settings(max_tokens=1024, temperature=rng.choice((0.8, 1.0)), top_p=rng.choice((0.95, 1.0)))
        self._items, self._tokens = size(rng, 200, 40, 2000, 0.9), rng.choice((120, 220, 420))
        self._per_s = rng.choice((self._items / DAY_S, rng.uniform(0.2, 2.0), rng.uniform(0.2, 2.0)))

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        clock, pick = Clock(rng, rng.uniform(0, 20) * 3600), rng.choice
        for _ in range(size(rng, self._items, 20, 2500, 0.3)):
            text = self._template.format(
                c=self._company,
                a=pick(ADJECTIVES),
                n=pick(NOUNS),
                m=pick(NAMES),
                p=pick(PLACES),
                t=pick(TOPICS),
                mood=pick(_MOODS),
            )
            yield Draft(
                clock.batch(self._per_s), (("user", text),), self._settings, size(rng, self._tokens, 40, 1024, 0.4)
            )


class Reseller:
    """One key, many end users of every kind, told apart by the `user` field at best."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        kinds = (Chat, Chat, Coding, Rag, Documents, Synthetic)
        self._users: list[Habit] = [rng.choice(kinds)(rng, split, company) for _ in range(rng.randrange(15, 40))]
        self._named = rng.random() < 0.5
        self._most = size(rng, 500, 200, 900)

    def day(self, rng: Random, number: int) -> Iterator[Draft]:
        left = self._most
        for index in rng.sample(range(len(self._users)), len(self._users)):
            shift = rng.uniform(0, DAY_S / 4)
            for draft in list(self._users[index].day(rng, number))[:40]:
                if left == 0:
                    return
                left -= 1
                name = f"user-{index}" if self._named else ""
                yield replace(draft, second=(draft.second + shift) % DAY_S, settings=replace(draft.settings, user=name))


class Idle:
    """A key that somebody tries out now and then: a handful of requests, all unlike."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:  # noqa: ARG002
        self._openings = split.of(
            (
                "Write a {a} poem about {t}.",
                "What can you do?",
                "Name {k} words for {a}.",
                "{s} Is that true?",
                "List three {n}s of {p}.",
                "Who is {m}?",
                "Describe {t} to a child.",
                "Rhyme on {n}.",
                "How {a} is {p}?",
            )
        )

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        for _ in range(rng.randrange(1, 12)):
            settings = Settings(temperature=rng.choice((0.0, 0.7, 1.0)), n=rng.choice((1, 1, 1, 2)))
            text = filled(rng, rng.choice(self._openings))
            yield Draft(office_hour(rng), (("user", text),), settings, size(rng, 120, 5, 512) * settings.n)

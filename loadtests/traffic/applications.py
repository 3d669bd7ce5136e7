"""Honest families that are programs serving people: retrieval, agents with tools, translation and summaries, smoke tests."""

from collections.abc import Iterator
from random import Random

from loadtests.traffic.call import DAY_S, Clock, Draft, Message, Settings, Split, any_hour, office_hour, size
from loadtests.traffic.people import filled
from loadtests.traffic.words import ADJECTIVES, LANGUAGES, NOUNS, PLACES, TOPICS, VERBS, paragraph

_RAG_FRAMEWORKS = (
    "Use the following pieces of context to answer the question at the end. If you don't know, say so.\n\n{d}\n\nQuestion: {q}",
    "Context information is below.\n-----\n{d}\n-----\nGiven only this context, answer: {q}",
    "Answer from the documents and cite them by number.\n\n{d}\n\nUser question: {q}\nAnswer:",
)
_RAG_OWN = (
    "You are {c}'s help desk. Reply from the articles only.\nArticles:\n{d}\nCustomer: {q}",
    "{c} knowledge base excerpts:\n{d}\n\nWrite a short reply to this message: {q}",
    "Below are passages from {c} manuals. Quote the passage that answers, then explain it.\n{d}\nAsked: {q}",
    "Role: support engineer at {c}.\nSources:\n{d}\nTicket: {q}\nSteps to resolve:",
    "[{c}] Search results:\n{d}\nCompose one paragraph for the visitor who typed: {q}",
    "Staff handbook of {c}:\n{d}\nAn employee wants to know: {q}\nKeep to the handbook.",
)
_QUESTIONS = (
    "How do I {v} the {n}?",
    "Why is my {n} {a}?",
    "Where can I return a {a} {n}?",
    "Does the {n} work with the {n2} in {p}?",
    "What is the policy on {t}?",
    "When will the {n} be {a} again?",
)
_AGENT_SYSTEMS = (
    "You book travel for {c} with the tools given.",
    "You reconcile invoices of {c}: look up, compare, flag.",
    "You are an operations agent. Diagnose the alert, then act. Company: {c}.",
    "Plan step by step, call one tool at a time. Customer: {c}.",
    "Keep {c}'s inventory right: query, correct, report.",
    "Answer requests of {c}'s sales team from the records system.",
)
_GOALS = (
    "Move the {n} of {m} to {p} next week.",
    "Find out why the {n} service is {a} and restart what is needed.",
    "Compare the {n} and {n2} accounts for {k} entries.",
    "Order {k} {a} {n}s for the {p} office.",
    "Prepare the figures on {t} for {m}.",
    "Cancel the {a} {n} and tell {m}.",
)
_OBSERVATIONS = (
    '{{"status": "ok", "{n}": {k}, "place": "{p}"}}',
    '{{"error": "no {n} named {m}"}}',
    '{{"rows": [{{"{n}": "{a}", "{n2}": {k}}}]}}',
)
_DOCUMENT_TASKS = (
    "Translate into {l}:\n{d}",
    "Summarise in three bullet points:\n{d}",
    "Give a {l} version of this product text, in a {a} tone:\n{d}",
    "Write an abstract of at most 60 words.\n\n{d}",
    "Render the following in {l}, keep names as they are.\n\n{d}",
    "What are the main points for a reader in {p}?\n{d}",
)
_SMOKE = (
    "ping",
    "Say hello.",
    "Reply with the word ready.",
    "What is 2 + 2?",
    "Return the JSON object {{}}.",
    "Name one colour.",
    "Count to three.",
    "Spell {n}.",
    "Is this a test?",
)


class Rag:
    """A fixed template around retrieved passages. Two in five tenants use a framework's template, as strangers to them do."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._template = rng.choice(split.of(_RAG_FRAMEWORKS if rng.random() < 0.4 else _RAG_OWN))
        self._company = company
        self._passages = [paragraph(rng, rng.randrange(3, 7)) for _ in range(rng.randrange(40, 200))]
        patterns = split.of(_QUESTIONS)
        self._asked = [self._question(rng, rng.choice(patterns)) for _ in range(rng.randrange(30, 150))]
        self._patterns = patterns
        self._settings, self._tokens = Settings(temperature=rng.choice((0.0, 0.1, 0.3))), rng.choice((60, 120, 300))
        self._requests = size(rng, 120, 30, 1200, 0.9)
        self._hour = rng.choice((office_hour, office_hour, any_hour))

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        for _ in range(size(rng, self._requests, 10, 1500, 0.3)):
            # A question is often asked again: the commonest far more often than the rest.
            if rng.random() < 0.6:
                question = self._asked[min(int(rng.paretovariate(0.8)), len(self._asked)) - 1]
            else:
                question = self._question(rng, rng.choice(self._patterns))
            found = "\n".join(rng.sample(self._passages, 3))
            text = self._template.format(c=self._company, d=found, q=question)
            yield Draft(self._hour(rng), (("user", text),), self._settings, size(rng, self._tokens, 10, 512))

    @staticmethod
    def _question(rng: Random, pattern: str) -> str:
        pick = rng.choice
        return pattern.format(
            v=pick(VERBS), n=pick(NOUNS), n2=pick(NOUNS), a=pick(ADJECTIVES), p=pick(PLACES), t=pick(TOPICS)
        )


class Agent:
    """Loops of calls and observations: a history that grows, tools in every request, short answers."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._system = filled(rng, rng.choice(split.of(_AGENT_SYSTEMS)), company)
        self._goals, self._observations = split.of(_GOALS), _OBSERVATIONS
        self._settings = Settings(max_tokens=1024, temperature=rng.choice((0.0, 0.2, 0.7)), tools=True)
        self._runs, self._hour = rng.randrange(5, 40), rng.choice((office_hour, any_hour))

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        for _ in range(size(rng, self._runs, 2, 60)):
            clock = Clock(rng, self._hour(rng))
            history: list[Message] = [("system", self._system), ("user", filled(rng, rng.choice(self._goals)))]
            for _ in range(size(rng, 6, 2, 20)):
                action = f"lookup({rng.choice(NOUNS)}, {rng.randrange(999)})"
                yield Draft(clock.think(4), tuple(history), self._settings, size(rng, 45, 10, 400), action)
                history.append(("assistant", action))
                history.append(("tool", filled(rng, rng.choice(self._observations))))


class Documents:
    """Translations and summaries: long texts in, one instruction, about as much out."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        self._template = rng.choice(split.of(_DOCUMENT_TASKS))
        self._system = f"You work for {company}."
        self._languages = rng.sample(LANGUAGES, 3)
        self._settings = Settings(max_tokens=2048, temperature=0.3)
        self._requests = size(rng, 60, 10, 800, 0.9)

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        clock = Clock(rng, office_hour(rng))
        for _ in range(size(rng, self._requests, 5, 1000, 0.4)):
            document = paragraph(rng, rng.randrange(5, 25))
            words = {"l": rng.choice(self._languages), "a": rng.choice(ADJECTIVES), "p": rng.choice(PLACES)}
            messages = (("system", self._system), ("user", self._template.format(d=document, **words)))
            yield Draft(clock.think(20), messages, self._settings, size(rng, 250, 30, 2048))


class Smoke:
    """A monitor that asks the same few things around the clock."""

    def __init__(self, rng: Random, split: Split, company: str) -> None:
        patterns = split.of(_SMOKE)
        self._prompts = [f"{filled(rng, pattern)} ({company})" for pattern in patterns]
        self._settings = Settings(max_tokens=16, temperature=0.0, seed=1)
        self._every_s = rng.choice((300.0, 600.0, 1800.0))

    def day(self, rng: Random, number: int) -> Iterator[Draft]:  # noqa: ARG002
        for turn in range(int(DAY_S / self._every_s)):
            at = turn * self._every_s + rng.uniform(0, 2)
            yield Draft(at, (("user", rng.choice(self._prompts)),), self._settings, rng.randrange(1, 16))

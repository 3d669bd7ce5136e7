"""Dialogues around functions: one call, several at once, none needed, none that fits."""

from random import Random

from deployments.demo_model.dialogue import Dialogue, Exchange, Message, Schema, Split, ask
from deployments.demo_model.facts import NO_TOOL, fact
from deployments.demo_model.smalltalk import greeting
from deployments.demo_model.toolbox import KINDS, Need
from deployments.demo_model.words import reversal, spelling

Offer = dict[str, Schema]
"""The functions of a dialogue by kind, in the order in which they are listed."""

_SUMS = frozenset({"add", "calculator"})
_OF_CITIES = {"weather": "the weather", "time": "the time"}


def _offer(rng: Random, kinds: tuple[str, ...]) -> Offer:
    """One to three signatures, the first of them of one of `kinds`, listed in random order."""
    needed = rng.choice(kinds)
    others = [kind for kind in KINDS if kind != needed and not {kind, needed} <= _SUMS]
    chosen = [needed, *rng.sample(others, rng.choice((0, 0, 1, 1, 2)))]
    if set(chosen) >= _SUMS:
        chosen.remove("add")
    rng.shuffle(chosen)
    return {kind: KINDS[kind].schema(rng) for kind in chosen}


def _need(rng: Random, split: Split, offer: Offer, kind: str) -> Need:
    return KINDS[kind].request(rng, split, offer[kind])


def _one(rng: Random, split: Split, offer: Offer) -> Exchange:
    """A request that needs one function: the call, its result, the answer made of it."""
    need = _need(rng, split, offer, rng.choice(tuple(offer)))
    call, result = Message("assistant", tool_calls=(need.call,)), Message("tool", need.result)
    return Message("user", need.question), call, result, Message("assistant", need.answer)


def _both(rng: Random, split: Split, offer: Offer) -> Exchange:
    """Two cities in one question: two calls in one message, two results, one answer."""
    kind = rng.choice([kind for kind in offer if kind in _OF_CITIES])
    needs = [_need(rng, split, offer, kind) for _ in range(2)]
    places = [next(iter(need.call.arguments.values())) for need in needs]
    forms = ("What is {} in {} and {}?", "Tell me {} in {} and in {}.", "Get {} for {} and {}.")
    question = rng.choice(forms).format(_OF_CITIES[kind], *places)
    calls = Message("assistant", tool_calls=tuple(need.call for need in needs))
    results = (Message("tool", need.result) for need in needs)
    final = Message("assistant", " ".join(need.answer for need in needs))
    return Message("user", question), calls, *results, final


def _unneeded(rng: Random, split: Split, _: Offer) -> Exchange:
    """A question to be answered without any function."""
    return rng.choice((greeting, fact, spelling, reversal))(rng, split)


def _missing(rng: Random, split: Split, offer: Offer) -> Exchange:
    """A request for a function that is not among those offered."""
    absent = [kind for kind in ("weather", "time", "message", "timer") if kind not in offer]
    kind = KINDS[rng.choice(absent)]
    return ask(kind.request(rng, split, kind.schema(rng)).question, NO_TOOL)


def tool_call(rng: Random, split: Split) -> Dialogue:
    """One request that needs one of the functions offered."""
    offer = _offer(rng, tuple(KINDS))
    return Dialogue("tool_call", _one(rng, split, offer), tuple(offer.values()))


def parallel_calls(rng: Random, split: Split) -> Dialogue:
    """One request that needs a function twice."""
    offer = _offer(rng, tuple(_OF_CITIES))
    return Dialogue("parallel_calls", _both(rng, split, offer), tuple(offer.values()))


def no_call(rng: Random, split: Split) -> Dialogue:
    """Functions are offered, and the question is one to answer without them."""
    offer = _offer(rng, tuple(KINDS))
    return Dialogue("no_call", _unneeded(rng, split, offer), tuple(offer.values()))


def no_tool(rng: Random, split: Split) -> Dialogue:
    """A function is needed and only others are offered."""
    offer = _offer(rng, tuple(KINDS))
    return Dialogue("no_tool", _missing(rng, split, offer), tuple(offer.values()))


def tool_chat(rng: Random, split: Split) -> Dialogue:
    """One to three requests of any of these sorts over the same functions: what training uses, for a list of
    functions is long to read and should teach more than one answer.
    """
    offer = _offer(rng, tuple(KINDS))
    sorts, weights = [_one, _unneeded, _missing], [6, 1, 1]
    if any(kind in _OF_CITIES for kind in offer):
        sorts.append(_both)
        weights.append(3)
    chosen = rng.choices(sorts, weights, k=rng.choice((1, 2, 2, 3)))
    return Dialogue("tool_chat", tuple(m for sort in chosen for m in sort(rng, split, offer)), tuple(offer.values()))

"""What is kept of requests' texts: hashes, an embedding, and hits in the lexicon. Pure, and the only reader of prompts.

Several requests are read at once, which costs little more than reading one; what is kept of each does not depend on it.

Templates. A request shows up to five: its system prompt; its frame (function words stay, what is between them becomes a
slot); its first eight words, its first three and its last five, numbers made equal. Applications, harvests and evaluation
harnesses repeat at least one of them.

Embedding. Each word's hash is a vector of 64 signs; a text is the sum over its words, damped by the root of their number
of times, at unit length (a hashed bag of words). Its signs are a SimHash; eleven of them are the text's topic bucket.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.guard import distinct
from gateway.guard.hashing import Hasher, Hashes, Places, Words, spans
from gateway.guard.lexicon import Hit, Lexicon, grams, plain
from gateway.guard.observation import Observation

DIMENSIONS: Final = 64
TOPIC_BITS: Final = 11
SHINGLES: Final = 9
"""Bits of a register's place, where shingles are counted."""
MAX_WORDS: Final = 256
HEAD_WORDS, TAIL_WORDS = 16, 8
MOST: Final = 64
"""Requests that are read at once at most."""
ORDERS: Final = 4096
TIE: Final = 1e-3
"""What sums that should be zero may come to."""
SLOT: Final = np.uint64(1)
INSTRUCTING: Final = frozenset({"system", "developer"})
_TEXT: Final = np.uint64(58)
_WORD: Final = np.uint64(6)


class Marks(NamedTuple):
    """`shingles`: register and rank of each three words in a row, of at most MAX_WORDS. `predecessor`: the conversation that
    this one continues, if it is one; `conversation`: what a next one would name so.
    """

    whole: int
    shingles: tuple[NDArray[np.intp], distinct.Registers]
    templates: tuple[int, ...]
    embedding: NDArray[np.float32]
    simhash: int
    topic: int
    instruction: bool
    reasoning: bool
    probing: bool
    turns: int
    conversation: int
    predecessor: int | None


class Orders(NamedTuple):
    """What is kept of a system prompt: the same one comes again and again."""

    template: int | None
    instruction: bool


NO_ORDERS: Final = Orders(None, False)


class Marker:
    """One secret's marks."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher, self._lexicon = hasher, Lexicon(hasher)
        tags = [hasher.ident(name) for name in (b"whole", b"frame", b"opening", b"lead", b"tail")]
        self._tags = np.array(tags, np.uint64)
        self._system = np.array([hasher.ident(b"system")], np.uint64)
        self._orders: OrderedDict[int, Orders] = OrderedDict()

    def of(self, seen: Observation) -> Marks:
        return self.all((seen,))[0]

    def all(self, seen: Sequence[Observation]) -> list[Marks]:
        """Of MOST requests at most."""
        asked = _bounded(self._hasher.words([_asked(each) for each in seen]))
        same = plain(asked)
        wholes, templates = self._templates(asked, same)
        embeddings, simhashes = _embedded(asked, same)
        places, ranks = distinct.placed(_shingles(asked.hashes), SHINGLES)
        hits = self._lexicon.hits(same, asked.bounds)
        bounds, marks = asked.bounds.tolist(), []
        for number, each in enumerate(seen):
            orders, hit, simhash = self._orders_of(each), hits[number], simhashes[number]
            begin, end = bounds[number], bounds[number + 1]
            end = min(end, max(begin, end - 2))
            said = [f"{role}:{text}" for role, text in each.messages if role not in INSTRUCTING]
            named = [self._hasher.ident(text.encode("utf-8", "surrogatepass")).to_bytes(8) for text in said]
            marks.append(
                Marks(
                    whole=wholes[number],
                    shingles=(places[begin:end], ranks[begin:end]),
                    templates=templates[number] if orders.template is None else (orders.template, *templates[number]),
                    embedding=embeddings[number],
                    simhash=simhash,
                    topic=simhash >> (DIMENSIONS - TOPIC_BITS),
                    # An operator's own system prompt may well say "step by step", and says it in every request.
                    instruction=Hit.INSTRUCTION in hit or orders.instruction,
                    reasoning=Hit.REASONING in hit,
                    probing=Hit.PROBING in hit,
                    turns=sum(role == "user" for role, _ in each.messages),
                    conversation=self._hasher.ident(*named),
                    predecessor=self._hasher.ident(*named[:-2]) if len(named) > 2 else None,
                )
            )
        return marks

    def _templates(self, asked: Words, same: Hashes) -> tuple[list[int], list[tuple[int, ...]]]:
        """Of each text the name of its whole, and those of its templates."""
        begins, counts = asked.bounds[:-1], asked.counts
        frames, telling = self._frames(same, begins, counts)
        source = np.concatenate((asked.hashes, same, frames.hashes))
        of_same, of_frames = begins + len(same), frames.bounds[:-1] + 2 * len(same)
        last = np.minimum(counts, 5)
        names = self._hasher.runs(
            source,
            np.concatenate((begins, of_frames, of_same, of_same, of_same + counts - last)),
            np.concatenate((counts, frames.counts, np.minimum(counts, 3), np.minimum(counts, 8), last)),
            np.repeat(self._tags, len(counts)),
        )
        wholes, frame, opening, lead, tail = names.reshape(len(self._tags), -1).tolist()
        found = []
        for number, (many, tells) in enumerate(zip(counts.tolist(), telling, strict=True)):
            three = (frame[number], opening[number]) if tells else (opening[number],)
            found.append((three if many >= 3 else ()) + ((lead[number], tail[number]) if many >= 5 else ()))
        return wholes, found

    def _frames(self, same: Hashes, begins: Places, counts: Places) -> tuple[Words, list[bool]]:
        """Of each text its function words with one slot between them, and whether these are enough to tell a template by."""
        long = counts > HEAD_WORDS + TAIL_WORDS
        heads, tails = np.where(long, HEAD_WORDS, counts), np.where(long, TAIL_WORDS, 0)
        starts = np.stack((begins, begins + counts - tails), axis=1).ravel()
        ends = same[spans(starts, np.stack((heads, tails), axis=1).ravel())]
        bounds = np.concatenate(([0], np.cumsum(heads + tails)))
        function = self._lexicon.is_function(ends)
        kept = function.copy()
        kept[1:] |= function[:-1]
        kept[bounds[:-1][heads > 0]] = True
        passed, telling = _running(kept), _running(function)
        frames = np.where(function, ends, SLOT)[kept]
        return Words(frames, function[kept], passed[bounds]), (np.diff(telling[bounds]) >= 2).tolist()

    def _orders_of(self, seen: Observation) -> Orders:
        system = "\n".join([text for role, text in seen.messages if role in INSTRUCTING])
        if not system:
            return NO_ORDERS
        name = self._hasher.ident(system.encode("utf-8", "surrogatepass"))
        known = self._orders.pop(name, None)
        if known is None:
            words = _bounded(self._hasher.words((system,)))
            same = plain(words)
            template = int(self._hasher.runs(same, words.bounds[:1], words.counts, self._system)[0])
            hit = self._lexicon.hits(same, words.bounds)[0]
            known = Orders(template if len(same) else None, Hit.INSTRUCTION in hit)
            if len(self._orders) >= ORDERS:
                self._orders.popitem(last=False)
        self._orders[name] = known
        return known


def _asked(seen: Observation) -> str:
    """The last question."""
    users = [text for role, text in seen.messages if role == "user"]
    return users[-1] if users else (seen.messages[-1][1] if seen.messages else "")


def _bounded(words: Words) -> Words:
    """Of longer texts, the words at both ends."""
    counts = words.counts
    if not (counts > MAX_WORDS).any():
        return words
    half = np.minimum(counts, MAX_WORDS) // 2
    rest = np.minimum(counts, MAX_WORDS) - half
    starts = np.stack((words.bounds[:-1], words.bounds[1:] - rest), axis=1).ravel()
    kept = spans(starts, np.stack((half, rest), axis=1).ravel())
    return Words(words.hashes[kept], words.numbers[kept], np.concatenate(([0], np.cumsum(half + rest))))


def _shingles(words: Hashes) -> Hashes:
    return grams(words)[2] if len(words) > 2 else words[:0]


def _running(flags: NDArray[np.bool_]) -> Places:
    return np.concatenate(([0], np.cumsum(flags)))


def _embedded(asked: Words, same: Hashes) -> tuple[NDArray[np.float32], list[int]]:
    """Of each text its embedding, and the signs of that."""
    many = len(asked.bounds) - 1
    text = np.repeat(np.arange(many), asked.counts)
    only_numbers = np.diff(_running(~asked.numbers)[asked.bounds]) == 0
    words = np.where(only_numbers[text], asked.hashes, same)
    order = np.argsort(text.astype(np.uint64) << _TEXT | words >> _WORD)
    words, text = words[order], text[order]
    other = np.ones(len(words), np.bool_)
    other[1:] = (words[1:] != words[:-1]) | (text[1:] != text[:-1])
    firsts = np.flatnonzero(other)
    roots = np.sqrt(np.diff(firsts, append=len(words))).astype(np.float32)
    bits = np.unpackbits(words[firsts].view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    bounds = np.searchsorted(text[firsts], np.arange(many + 1)).tolist()
    totals = np.zeros((many, DIMENSIONS), np.float32)
    for number, (begin, end) in enumerate(pairwise(bounds)):
        totals[number] = 2 * (roots[begin:end] @ bits[begin:end]) - roots[begin:end].sum()
    simhashes: list[int] = np.packbits(totals > TIE, axis=1).view(">u8").ravel().tolist()
    return totals / np.maximum(np.linalg.norm(totals, axis=1, keepdims=True), np.float32(1e-9)), simhashes

"""What is kept of requests' texts: hashes, an embedding, and hits in the lexicon. Pure, and the only reader of prompts.

Several requests are read at once, which costs little more than reading one; what is kept of each does not depend on it.

What is read. A request's name, `whole`, is that of all its messages, so a question makes it another one wherever it stands. Its
words are those that the client has said since the turn before (of a first turn, all): users, tools, an answer begun for the
model. Of system messages and descriptions of tools those are read that are new here, numbers apart: what stays the same from
request to request says nothing, and would drown what does not. Of a long text the words read are spread over it.

Templates. A request shows up to five: its system prompt; its frame (function words stay, what is between them becomes a
slot); its first eight words, its first three and its last five, numbers made equal. What is new in a system message shows the
last four as well. Applications, harvests and evaluation harnesses repeat at least one of them.

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
from gateway.guard.observation import Observation, shortened

DIMENSIONS: Final = 64
TOPIC_BITS: Final = 11
SHINGLES: Final = 9
"""Bits of a register's place, where shingles are counted."""
MAX_WORDS: Final = 256
END_WORDS, RUN_WORDS = 64, 8
"""Of a longer text: so many words at both ends, and runs of so many between them, evenly spread."""
HEAD_WORDS, TAIL_WORDS = 16, 8
MOST: Final = 64
"""Requests that are read at once at most."""
ORDERS: Final = 32_768
TIE: Final = 1e-3
"""What sums that should be zero may come to."""
SLOT: Final = np.uint64(1)
INSTRUCTING: Final = frozenset({"system", "developer"})
ASIDE: Final = INSTRUCTING | {"tools"}
UNASKED: Final = frozenset({"assistant", "history"})
"""Answers, and what stands for the messages of a long conversation that are not looked at any more."""
_TEXT: Final = np.uint64(58)
_WORD: Final = np.uint64(6)


class Marks(NamedTuple):
    """`whole` names the request, `text` what was read of it: stock phrases in two conversations are two requests and one text.
    `shingles`: register and rank of each three words in a row. `orders`: system messages and descriptions of tools that ask for
    reasoning or probe, by name (numbers apart), and which of it each does. `asked`: names of the messages that the client has added
    since the turn before; `history`: of those that it says it had added in earlier turns, as many as it has sent.
    """

    whole: int
    text: int
    shingles: tuple[NDArray[np.intp], distinct.Registers]
    templates: tuple[int, ...]
    embedding: NDArray[np.float32]
    simhash: int
    topic: int
    instruction: bool
    reasoning: bool
    probing: bool
    orders: tuple[tuple[int, Hit], ...]
    turns: int
    asked: tuple[int, ...]
    history: tuple[int, ...]


class Orders(NamedTuple):
    """What is kept of a system prompt: the same one comes again and again."""

    template: int | None = None
    instruction: bool = False
    asking: Hit = Hit.NONE


NO_ORDERS: Final = Orders()
ASKING: Final = Hit.REASONING | Hit.PROBING


class Reading(NamedTuple):
    """`news`: system messages and tools that are new here; `said`: what else the client has said since the turn before."""

    news: str
    said: str
    template: int | None
    orders: tuple[Orders, ...]
    whole: int
    text: int
    asked: tuple[int, ...]
    history: tuple[int, ...]


class Marker:
    """One secret's marks."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher, self._lexicon = hasher, Lexicon(hasher)
        tags = [hasher.ident(name) for name in (b"frame", b"opening", b"lead", b"tail")]
        self._tags = np.array(tags, np.uint64)
        self._system = np.array([hasher.ident(b"system")], np.uint64)
        self._orders: OrderedDict[int, Orders] = OrderedDict()

    def of(self, seen: Observation) -> Marks:
        return self.all((seen,))[0]

    def all(self, seen: Sequence[Observation]) -> list[Marks]:
        """Of MOST requests at most."""
        read = [self._read(each) for each in seen]
        words = _bounded(self._hasher.words([text for each in read for text in each[:2]]))
        asked, same = words._replace(bounds=words.bounds[::2]), plain(words)
        templates = self._templates(words, same)
        embeddings, simhashes = _embedded(asked, same)
        places, ranks = distinct.placed(_shingles(asked.hashes), SHINGLES)
        hits = self._lexicon.hits(same, words.bounds)
        bounds, marks = asked.bounds.tolist(), []
        for number, (each, one) in enumerate(zip(seen, read, strict=True)):
            simhash = simhashes[number]
            news, said = hits[2 * number : 2 * number + 2]
            fresh, frames = templates[2 * number : 2 * number + 2]
            begin, end = bounds[number], bounds[number + 1]
            end = min(end, max(begin, end - 2))
            marks.append(
                Marks(
                    whole=one.whole,
                    text=one.text,
                    shingles=(places[begin:end], ranks[begin:end]),
                    templates=(*(() if one.template is None else (one.template,)), *frames, *fresh),
                    embedding=embeddings[number],
                    simhash=simhash,
                    topic=simhash >> (DIMENSIONS - TOPIC_BITS),
                    instruction=Hit.INSTRUCTION in news | said or any(each.instruction for each in one.orders),
                    reasoning=Hit.REASONING in said,
                    probing=Hit.PROBING in said,
                    # The same system prompt may well say "step by step" in every request: whether it is new is for others to say.
                    orders=tuple(
                        (each.template, each.asking) for each in one.orders if each.asking and each.template is not None
                    ),
                    turns=sum(role == "user" for role, _ in each.messages),
                    asked=one.asked,
                    history=one.history,
                )
            )
        return marks

    def _read(self, seen: Observation) -> Reading:
        names = [self._hasher.ident(f"{role}:{text}".encode("utf-8", "surrogatepass")) for role, text in seen.messages]
        aside: dict[bool, list[tuple[int, str]]] = {True: [], False: []}
        turns = []
        for (role, text), name in zip(seen.messages, names, strict=True):
            if role in ASIDE:
                aside[role in INSTRUCTING].append((name, text))
            else:
                turns.append((role, text, name))
        # What is refused costs nothing, so nothing is known for having been in it.
        learn = seen.status < 400
        (orders, system), (more, tools) = (self._orders_of(aside[each], learn=learn) for each in (True, False))
        news = f"{tools}\n{system}"
        # An answer that the client has begun for the model comes last.
        end = _back(turns, len(turns), answers=True)
        begin = _back(turns, end, answers=False)
        said = [text for _, text, _ in turns[begin:]]
        if not said and not news.strip() and seen.messages:
            said = [seen.messages[-1][1]]
        asked = shortened("\n".join(said))
        return Reading(
            news,
            asked,
            orders[0].template if orders else None,
            tuple(dict.fromkeys(orders + more)),
            self._hasher.ident(*(name.to_bytes(8) for name in names)),
            self._hasher.ident(f"{news}\n{asked}".encode("utf-8", "surrogatepass")),
            tuple(name for _, _, name in turns[begin:end]),
            tuple(name for role, _, name in turns[:begin] if role not in UNASKED),
        )

    def _templates(self, asked: Words, same: Hashes) -> list[tuple[int, ...]]:
        """The names of each text's templates."""
        begins, counts = asked.bounds[:-1], asked.counts
        frames, telling = self._frames(same, begins, counts)
        source = np.concatenate((same, frames.hashes))
        of_same, of_frames = begins, frames.bounds[:-1] + len(same)
        last = np.minimum(counts, 5)
        names = self._hasher.runs(
            source,
            np.concatenate((of_frames, of_same, of_same, of_same + counts - last)),
            np.concatenate((frames.counts, np.minimum(counts, 3), np.minimum(counts, 8), last)),
            np.repeat(self._tags, len(counts)),
        )
        frame, opening, lead, tail = names.reshape(len(self._tags), -1).tolist()
        found = []
        for number, (many, tells) in enumerate(zip(counts.tolist(), telling, strict=True)):
            three = (frame[number], opening[number]) if tells else (opening[number],)
            found.append((three if many >= 3 else ()) + ((lead[number], tail[number]) if many >= 5 else ()))
        return found

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

    def _orders_of(self, told: Sequence[tuple[int, str]], *, learn: bool) -> tuple[list[Orders], str]:
        """Of system messages (name, text) what is kept, and what is new here: not even its template, numbers apart, was seen."""
        if not told:
            return [], ""
        kept = {name: self._orders.get(name) for name, _ in told}
        new = shortened("\n".join(text for name, text in told if kept[name] is None))
        orders = None
        if new:
            words = _bounded(self._hasher.words((new,)))
            same = plain(words)
            template = int(self._hasher.runs(same, words.bounds[:1], words.counts, self._system)[0])
            orders = self._orders.get(template)
            if orders is None:
                hit = self._lexicon.hits(same, words.bounds)[0]
                orders = Orders(template if len(same) else None, Hit.INSTRUCTION in hit, hit & ASKING)
            else:
                new = ""
            if learn:
                self._keep({template: orders})
        found = {name: known or orders or NO_ORDERS for name, known in kept.items()}
        if learn:
            self._keep(found)
        return list(found.values()), new

    def _keep(self, found: dict[int, Orders]) -> None:
        for name, orders in found.items():
            self._orders[name] = orders
            self._orders.move_to_end(name)
        while len(self._orders) > ORDERS:
            self._orders.popitem(last=False)


def _back(turns: Sequence[tuple[str, str, int]], place: int, *, answers: bool) -> int:
    """Where the turns of one side that end before `place` begin."""
    while place and (turns[place - 1][0] == "assistant") is answers:
        place -= 1
    return place


def _bounded(words: Words) -> Words:
    """Of longer texts, the words at both ends and runs of them between."""
    counts = words.counts
    if not (counts > MAX_WORDS).any():
        return words
    place = np.arange(len(words.hashes)) - np.repeat(words.bounds[:-1], counts)
    left = np.repeat(counts, counts) - place
    runs = np.repeat(np.maximum(-(-(counts - 2 * END_WORDS) // RUN_WORDS), 1), counts)
    run, many = (place - END_WORDS) // RUN_WORDS, (MAX_WORDS - 2 * END_WORDS) // RUN_WORDS
    chosen = (run + 1) * many // runs > run * many // runs
    kept = np.repeat(counts <= MAX_WORDS, counts) | (place < END_WORDS) | (left <= END_WORDS) | chosen
    return Words(words.hashes[kept], words.numbers[kept], _running(kept)[words.bounds])


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

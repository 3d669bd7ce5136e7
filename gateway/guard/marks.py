"""What is kept of a request's text: hashes, an embedding, and hits in the lexicon. Pure, and the only reader of prompts.

Templates. A request shows up to five: its system prompt; its frame (function words stay, what is between them becomes a
slot); its first eight words, its first three and its last five, numbers made equal. Applications, harvests and evaluation
harnesses repeat at least one of them.

Embedding. Each word's hash is a vector of 64 signs; a text is the sum over its words, damped by the root of their number
of times, at unit length (a hashed bag of words). Its signs are a SimHash; eleven of them are the text's topic bucket.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.guard.hashing import Hasher, Hashes
from gateway.guard.lexicon import Hit, Lexicon, grams, plain
from gateway.guard.observation import Observation

DIMENSIONS: Final = 64
TOPIC_BITS: Final = 11
MAX_WORDS: Final = 256
HEAD_WORDS, TAIL_WORDS = 16, 8
SLOT: Final = np.uint64(1)
INSTRUCTING: Final = frozenset({"system", "developer"})


class Marks(NamedTuple):
    """`shingles`: hashes of each three words in a row, at most MAX_WORDS. `predecessor`: the conversation that this one
    continues, if it is one; `conversation`: what a next one would name so.
    """

    whole: int
    shingles: Hashes
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


class Marker:
    """One secret's marks."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher, self._lexicon = hasher, Lexicon(hasher)

    def of(self, seen: Observation) -> Marks:
        users = [text for role, text in seen.messages if role == "user"]
        asked = users[-1] if users else (seen.messages[-1][1] if seen.messages else "")
        system = "\n".join(text for role, text in seen.messages if role in INSTRUCTING)
        words, numbers = _bounded(*self._hasher.words(asked))
        same = plain(words, numbers)
        orders = plain(*_bounded(*self._hasher.words(system))) if system else words[:0]
        embedding = _embedding(words if numbers.all() else same)
        simhash = int.from_bytes(np.packbits(embedding > 0).tobytes())
        said = [message for message in seen.messages if message[0] not in INSTRUCTING]
        # An operator's own system prompt may well say "step by step", and says it in every request.
        hits = self._lexicon.hits(same) | (self._lexicon.hits(orders) & Hit.INSTRUCTION)
        return Marks(
            whole=self._hasher.ident(b"whole", words.tobytes()),
            shingles=grams(words)[2] if len(words) > 2 else words,
            templates=self._templates(same, orders),
            embedding=embedding,
            simhash=simhash,
            topic=simhash >> (DIMENSIONS - TOPIC_BITS),
            instruction=Hit.INSTRUCTION in hits,
            reasoning=Hit.REASONING in hits,
            probing=Hit.PROBING in hits,
            turns=len(users),
            conversation=self._conversation(said),
            predecessor=self._conversation(said[:-2]) if len(said) > 2 else None,
        )

    def _templates(self, words: Hashes, orders: Hashes) -> tuple[int, ...]:
        found = [self._hasher.ident(b"system", orders.tobytes())] if len(orders) else []
        if len(words) >= 3:
            long = len(words) > HEAD_WORDS + TAIL_WORDS
            ends = np.concatenate((words[:HEAD_WORDS], words[-TAIL_WORDS:])) if long else words
            function = self._lexicon.is_function(ends)
            frame = np.where(function, ends, SLOT)
            frame = frame[function | np.concatenate(([True], function[:-1]))]
            if np.count_nonzero(function) >= 2:
                found.append(self._hasher.ident(b"frame", frame.tobytes()))
            found.append(self._hasher.ident(b"opening", words[:3].tobytes()))
        if len(words) >= 5:
            found.append(self._hasher.ident(b"lead", words[:8].tobytes()))
            found.append(self._hasher.ident(b"tail", words[-5:].tobytes()))
        return tuple(found)

    def _conversation(self, said: list[tuple[str, str]]) -> int:
        return self._hasher.ident(*(f"{role}:{text}".encode("utf-8", "surrogatepass") for role, text in said))


def _bounded(words: Hashes, numbers: NDArray[np.bool_]) -> tuple[Hashes, NDArray[np.bool_]]:
    if len(words) <= MAX_WORDS:
        return words, numbers
    half = MAX_WORDS // 2
    return np.concatenate((words[:half], words[-half:])), np.concatenate((numbers[:half], numbers[-half:]))


def _embedding(words: Hashes) -> NDArray[np.float32]:
    if not len(words):
        return np.zeros(DIMENSIONS, np.float32)
    different, times = _counted(words)
    bits = np.unpackbits(different.view(np.uint8).reshape(-1, 8), axis=1).astype(np.float32)
    total = np.sqrt(times).astype(np.float32) @ (2 * bits - 1)
    return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)


def _counted(words: Hashes) -> tuple[Hashes, NDArray[np.intp]]:
    ordered = np.sort(words)
    places = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[places], np.diff(places, append=len(ordered))

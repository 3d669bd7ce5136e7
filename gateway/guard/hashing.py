"""Keyed hashes of words, of several texts at once: numpy's price is by the call, not by the word.

A word's hash is a polynomial in its bytes, modulo 2^64, with a secret multiplier and a secret value for each byte, then
mixed. Sums over a prefix give the hash of every word by one subtraction each. What is kept afterwards are aggregates of
such hashes; who lacks the secret cannot look words up in them.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.intp]
MAX_BYTES: Final = 16_384
_LETTER: Final = np.zeros(256, np.bool_)
_LETTER[[*range(ord("a"), ord("z") + 1), *range(ord("0"), ord("9") + 1), *range(0x80, 0x100)]] = True
_DIGIT: Final = np.zeros(256, np.bool_)
_DIGIT[ord("0") : ord("9") + 1] = True
# In scripts without spaces a character is a word: UTF-8 writes those from U+3000 to U+DFFF with these first bytes.
_ALONE: Final = np.zeros(256, np.bool_)
_ALONE[0xE3:0xEE] = True
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)


def mixed(values: Hashes) -> Hashes:
    """A bijection of 64 bits in which each bit of the input moves each of the output (SplitMix64's finaliser)."""
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def spans(starts: Places, counts: Places) -> Places:
    """The places start, start + 1, ... of each span, one span after another."""
    places: Places = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
    return places


class Words(NamedTuple):
    """Of several texts, one after another: text i has those from `bounds[i]` to before `bounds[i + 1]`."""

    hashes: Hashes
    numbers: NDArray[np.bool_]
    bounds: Places

    @property
    def counts(self) -> Places:
        return np.diff(self.bounds)


class Hasher:
    """One secret's hashes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"sluice-guard").digest()
        table = hashlib.shake_256(self._secret).digest(257 * 8)
        values = np.frombuffer(table, np.uint64).copy()
        base = int(values[256]) | 1
        self._bytes = np.where(_LETTER, values[:256], np.uint64(0))
        inverse = pow(base, -1, 1 << 64)
        self._powers = _powers(base)
        self._back = _powers(inverse)

    def words(self, texts: Sequence[str]) -> Words:
        """The hash of each word in order, and whether it is a number; letters' case does not matter."""
        encoded = [text.lower().encode("utf-8", "surrogatepass")[:MAX_BYTES] for text in texts]
        # A space after each text is part of no word, and keeps them apart.
        raw = np.frombuffer(b" ".join([*encoded, b""]), np.uint8)
        ends = np.cumsum([0, *(len(each) + 1 for each in encoded)])
        letter = _LETTER[raw]
        begins = letter.copy()
        begins[1:] &= _ALONE[raw[1:]] | ~letter[:-1]
        starts = np.flatnonzero(begins)
        place = np.arange(len(raw)) - np.repeat(ends[:-1], np.diff(ends))
        sums = np.zeros(len(raw) + 1, np.uint64)
        np.cumsum(self._bytes[raw] * self._powers[place], out=sums[1:])
        upto = sums[np.append(starts, len(raw))]
        hashes = (upto[1:] - upto[:-1]) * self._back[place[starts]]
        return Words(mixed(hashes), _DIGIT[raw[starts]], np.searchsorted(starts, ends))

    def runs(self, words: Hashes, starts: Places, counts: Places, tags: Hashes) -> Hashes:
        """A name for each run of words: for their values, their order, their number and the run's tag."""
        firsts = np.cumsum(counts) - counts
        place = np.arange(counts.sum()) - np.repeat(firsts, counts)
        marked = mixed(words[spans(starts, counts)] + (place + 1).astype(np.uint64) * _STEP)
        sums = np.zeros(len(marked) + 1, np.uint64)
        np.cumsum(marked, out=sums[1:])
        return mixed((sums[firsts + counts] - sums[firsts] + counts.astype(np.uint64) * _STEP) ^ tags)

    def ident(self, *parts: bytes) -> int:
        """A keyed 64-bit name of a sequence of parts, for what is stored and compared."""
        digest = hashlib.blake2b(b"\0".join(parts), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest)


def _powers(base: int) -> Hashes:
    powers = np.empty(MAX_BYTES + 1, np.uint64)
    value = 1
    for i in range(MAX_BYTES + 1):
        powers[i] = value
        value = value * base & 0xFFFFFFFFFFFFFFFF
    return powers

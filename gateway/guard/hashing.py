"""Keyed hashes of words, all of a text at once.

A word's hash is a polynomial in its bytes, modulo 2^64, with a secret multiplier and a secret value for each byte, then
mixed. Sums over a prefix give the hash of every word by one subtraction each, so numpy does a text in some 30 µs. What
is kept afterwards are aggregates of such hashes; who lacks the secret cannot look words up in them.
"""

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
MAX_BYTES: Final = 16_384
_LETTER: Final = np.zeros(256, np.bool_)
_LETTER[[*range(ord("a"), ord("z") + 1), *range(ord("0"), ord("9") + 1), *range(0x80, 0x100)]] = True
_DIGIT: Final = np.zeros(256, np.bool_)
_DIGIT[ord("0") : ord("9") + 1] = True
# In scripts without spaces a character is a word: UTF-8 writes those from U+3000 to U+DFFF with these first bytes.
_ALONE: Final = np.zeros(256, np.bool_)
_ALONE[0xE3:0xEE] = True


def mixed(values: Hashes) -> Hashes:
    """A bijection of 64 bits in which each bit of the input moves each of the output (SplitMix64's finaliser)."""
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


class Hasher:
    """One secret's hashes."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.blake2b(secret, digest_size=32, person=b"sluice-guard").digest()
        table = hashlib.shake_256(self._secret).digest(257 * 8)
        values = np.frombuffer(table, np.uint64).copy()
        base = int(values[256]) | 1
        self._bytes = values[:256]
        inverse = pow(base, -1, 1 << 64)
        self._powers = _powers(base)
        self._back = _powers(inverse)

    def words(self, text: str) -> tuple[Hashes, NDArray[np.bool_]]:
        """The hash of each word in order, and whether it is a number; letters' case does not matter."""
        raw = np.frombuffer(text.lower().encode("utf-8", "surrogatepass")[:MAX_BYTES], np.uint8)
        letter = _LETTER[raw]
        begins = letter & (_ALONE[raw] | ~np.concatenate(([False], letter[:-1])))
        starts = np.flatnonzero(begins)
        if not len(starts):
            return np.zeros(0, np.uint64), np.zeros(0, np.bool_)
        values = np.where(letter, self._bytes[raw] * self._powers[: len(raw)], np.uint64(0))
        ends = np.append(starts[1:], len(raw))
        sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)))
        hashes = (sums[ends] - sums[starts]) * self._back[starts]
        return mixed(hashes), _DIGIT[raw[starts]]

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

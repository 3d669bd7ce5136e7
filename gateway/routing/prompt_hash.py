"""Token ids → one hash for each whole block of the prompt, of everything up to that block's end.

The hash is multilinear over the integers modulo 2^64: each position has a secret random key; a prefix's hash is the sum of
key · token, plus one secret number for each block and one for the scope. Keys come from SHAKE-256 of a secret. Two different
prefixes or scopes, chosen without knowledge of the keys, collide with a probability of at most 2^-47 (for vocabularies below
2^18) whatever one computes: keys and hashes stay between gateways and engines, so there is nothing to compute with. A collision
would cost speed and never correctness: engines key their caches themselves.

A keyed digest per block (SHA-256, BLAKE3, BLAKE2) costs 3 to 6 times as much: docs/decisions/0008-routing.md.
"""

import functools
import hashlib
from array import array

import numpy as np
import numpy.typing as npt

BLOCK_TOKENS = 256
"""A multiple of vLLM's block sizes (16 on GPUs, 128 on CPUs). What half of it costs to compute again is not worth knowing."""

_FIRST_KEYS = 1 << 15
_SCOPES = 4096


class PromptHasher:
    """`secret`: random bytes, at least 16, that nobody but gateways knows."""

    def __init__(self, secret: bytes, block_tokens: int = BLOCK_TOKENS) -> None:
        self.block_tokens = block_tokens
        self._secret = secret
        self._make_keys(_FIRST_KEYS)
        self._offset = functools.lru_cache(_SCOPES)(self._make_offset)

    def blocks(self, scope: str, tokens: list[int]) -> list[int]:
        """One 64-bit number per whole block. `scope` is what else decides whether a cached block may be shared: the tenant's
        salt, an adapter, digests of images. Raises OverflowError or TypeError if a token is no 64-bit unsigned integer.
        """
        whole = len(tokens) // self.block_tokens
        if whole > len(self._block_sums):
            self._make_keys(1 << len(tokens).bit_length())
        # fromlist takes two thirds of what array("L", tokens) takes, and a fifth of what numpy does.
        values = array("L")
        values.fromlist(tokens)
        ids: npt.NDArray[np.uint64] = np.ndarray((whole, self.block_tokens), np.uint64, values)
        hashes = np.add.accumulate(np.vecdot(ids, self._token_keys[:whole]))
        hashes += self._block_sums[:whole]
        hashes += self._offset(scope)
        return hashes.tolist()  # type: ignore[no-any-return]

    def _make_offset(self, scope: str) -> np.uint64:
        digest = hashlib.blake2b(scope.encode(), key=self._secret[:64], digest_size=8).digest()
        return np.uint64(int.from_bytes(digest))

    def _make_keys(self, tokens: int) -> None:
        blocks = max(1, tokens // self.block_tokens)
        self._token_keys = self._keys(b"tokens", blocks * self.block_tokens).reshape(blocks, self.block_tokens)
        self._block_sums = self._keys(b"blocks", blocks).cumsum()

    def _keys(self, purpose: bytes, count: int) -> npt.NDArray[np.uint64]:
        """The first keys are the same whatever the count, so hashes outlive growth."""
        return np.frombuffer(hashlib.shake_256(purpose + self._secret).digest(8 * count), dtype=np.uint64)

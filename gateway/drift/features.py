"""What is kept of a request: its lengths, how it ended, three classes and a hashed embedding. Its text cannot be had back."""

import re
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gateway.drift.scripts import script_of

DIMENSIONS: Final = 64
MOST_CHARACTERS: Final = 4096
FINISHES: Final = ("stop", "length", "error", "other")
SAMPLE: Final = np.dtype(
    [
        ("at", "f8"),
        ("prompt_tokens", "i4"),
        ("output_tokens", "i4"),
        ("script", "u1"),
        ("refused", "u1"),
        ("finish", "u1"),
        ("embedding", "f2", (DIMENSIONS,)),
    ]
)
"""`at` in seconds since the epoch; `script` and `finish` as places in CLASSES and FINISHES."""
Samples = NDArray[np.void]

# How a refusal begins, in the languages that most chat models are asked in. A classifier it is not: a rate is watched.
_REFUSAL: Final = re.compile(
    r"\b(?:i(?:['’]m| am) (?:sorry|afraid|unable|not able|not allowed)|i (?:can(?:no|['’])t|won['’]t|must decline|do not feel)"
    r"|as an ai|i apologi[sz]e|against my (?:guidelines|programming)"
    r"|es tut mir leid|ich kann (?:dir |ihnen )?(?:dabei |das )?nicht|désolée?|je ne peux pas|lo siento|no puedo"
    r"|não posso|desculpe|mi dispiace|non posso)\b|抱歉|无法|申し訳|できません|죄송|извините|не могу",
    re.IGNORECASE,
)
_REFUSAL_WITHIN: Final = 200


class Seen(NamedTuple):
    """One request at its end. `prompt` and `answer` are texts, or the parts of them that are looked at."""

    prompt: str
    answer: str
    prompt_tokens: int
    output_tokens: int
    finish: str


def sample(seen: Seen, now: float) -> Samples:
    """One row of SAMPLE."""
    points = np.frombuffer(seen.prompt[-MOST_CHARACTERS:].encode("utf-32-le", "replace"), dtype=np.uint32)
    row = np.zeros(1, dtype=SAMPLE)
    row["at"] = now
    row["prompt_tokens"], row["output_tokens"] = seen.prompt_tokens, seen.output_tokens
    row["script"] = script_of(points)
    row["refused"] = refuses(seen.answer)
    row["finish"] = FINISHES.index(seen.finish if seen.finish in FINISHES else "other")
    row["embedding"] = embed(seen.prompt[-MOST_CHARACTERS:])
    return row


def refuses(answer: str) -> bool:
    """Whether an answer begins as refusals do."""
    return _REFUSAL.search(answer, 0, _REFUSAL_WITHIN) is not None


def embed(text: str) -> NDArray[np.float32]:
    """Counts of character trigrams by the signed hashing trick (Weinberger et al., 2009), in DIMENSIONS dimensions, damped by
    a square root and of length 1; zero for a text shorter than that.
    """
    points = np.frombuffer(text.lower().encode("utf-32-le", "replace"), dtype=np.uint32)
    if points.size < 3:
        return np.zeros(DIMENSIONS, dtype=np.float32)
    # Products wrap around at 2^32, as multiplicative hashing wants it; the last steps are those of MurmurHash3.
    hashed = (
        points[:-2] * np.uint32(0x9E3779B1) + points[1:-1] * np.uint32(0x85EBCA77) + points[2:] * np.uint32(0xC2B2AE3D)
    )
    hashed ^= hashed >> np.uint32(16)
    hashed *= np.uint32(0x85EBCA6B)
    hashed ^= hashed >> np.uint32(13)
    signs = np.where(hashed & np.uint32(0x80000000), -1.0, 1.0)
    counts = np.bincount(hashed % np.uint32(DIMENSIONS), weights=signs, minlength=DIMENSIONS)
    damped = np.sign(counts) * np.sqrt(np.abs(counts))
    norm = float(np.linalg.norm(damped))
    embedding: NDArray[np.float32] = (damped / (norm or 1.0)).astype(np.float32)
    return embedding

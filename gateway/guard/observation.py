"""What the guard is told of one ended request. Its texts live until they have been hashed, a fraction of a second later."""

from hashlib import blake2b
from typing import Final, NamedTuple

LONGEST: Final = 4000
HEAD: Final = 1500
TAIL: Final = 1000
PIECES, PIECE = 14, 100
"""Characters of a text that are looked at: all, or of a longer one both ends and pieces spread over what is between them."""


class Observation(NamedTuple):
    """`at`: arrival, in seconds since the epoch. `messages`: (role, text), oldest first; a bare prompt is one `user` message.

    `logprobs`: how many scalars were asked for at each position; `bias`: the token ids of a logit bias; `constrained`: the
    answer was held to a schema, grammar, choice or forced tool. `status`: HTTP, 200 for an answer. Counts are of tokens.
    """

    key: str
    tenant: str
    model: str
    at: float
    messages: tuple[tuple[str, str], ...]
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int | None = None
    finish: str = "stop"
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    seed: bool = False
    logprobs: int = 0
    bias: tuple[int, ...] = ()
    constrained: bool = False
    stream: bool = False
    status: int = 200


def shortened(text: str) -> str:
    """The part of a text that is looked at. Of a longer one it names the whole with a number: no two come out the same."""
    if len(text) <= LONGEST:
        return text
    step = (len(text) - HEAD - TAIL) / PIECES
    starts = (HEAD + int(step * number + (step - PIECE) / 2) for number in range(PIECES))
    return " ".join((text[:HEAD], digest(text), *(text[start : start + PIECE] for start in starts), text[-TAIL:]))


def digest(text: str) -> str:
    """A number that names the text; as a word it is like any other number."""
    return str(int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()))

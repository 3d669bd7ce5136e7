"""What the guard is told of one ended request. Its texts live until they have been hashed, a fraction of a second later."""

from typing import Final, NamedTuple

HEAD: Final = 3000
TAIL: Final = 1000
"""Characters of a text that are looked at: its beginning, and its end if it is longer."""


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
    """The part of a text that is looked at."""
    return text if len(text) <= HEAD + TAIL else text[:HEAD] + text[-TAIL:]

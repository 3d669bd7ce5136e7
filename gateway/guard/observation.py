"""What the guard is told of one ended request. Its texts live until they have been hashed, a fraction of a second later."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

LONGEST: Final = 4000
HEAD: Final = 1500
TAIL: Final = 1000
PIECES, PIECE = 14, 100
"""Characters of a text that are looked at: all, or of a longer one both ends and pieces spread over what is between them. So many
token ids as well, of a prompt of those."""


def numbers(tokens: Sequence[int]) -> str:
    return " ".join(map(str, tokens))


class TokenIds(NamedTuple):
    """Those of a prompt that are looked at, still to be decoded. `name`: a number for all of them, if these are not all."""

    ids: Sequence[int]
    name: str
    decode: Callable[[Sequence[int]], str]


class Observation(NamedTuple):
    """`at`: arrival, in seconds since the epoch. `messages`: (role, text), oldest first; a bare prompt is one `user` message,
    and one of token ids is `unread` until its tokens are text.

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
    unread: TokenIds | None = None


def shortened(text: str) -> str:
    """The part of a text that is looked at. Of a longer one it names the whole with a number: no two come out the same."""
    if len(text) <= LONGEST:
        return text
    head, *rest = _pieces(len(text))
    return " ".join((text[head], digest(text), *(text[each] for each in rest)))


def token_ids(prompt: Sequence[int], decode: Callable[[Sequence[int]], str]) -> TokenIds:
    """Cheap: to decode them is left to `read`."""
    if len(prompt) <= LONGEST:
        return TokenIds(prompt, "", decode)
    kept: list[int] = []
    for piece in _pieces(len(prompt)):
        kept += prompt[piece]
    return TokenIds(kept, _number(msgspec.msgpack.encode(prompt)), decode)


def read(seen: Observation) -> Observation:
    """With its tokens as text; those that the tokenizer cannot tell stay numbers."""
    if seen.unread is None:
        return seen
    ids, name, decode = seen.unread
    try:
        text = decode(ids)
    except Exception:  # noqa: BLE001  foreign tokenizers raise anything on ids that they do not know
        text = numbers(ids)
    return seen._replace(messages=(("user", shortened(f"{name} {text}" if name else text)),), unread=None)


def _pieces(length: int) -> list[slice]:
    step = (length - HEAD - TAIL) / PIECES
    starts = (HEAD + int(step * number + (step - PIECE) / 2) for number in range(PIECES))
    return [slice(0, HEAD), *(slice(start, start + PIECE) for start in starts), slice(length - TAIL, length)]


def digest(text: str) -> str:
    """A number that names the text; as a word it is like any other number."""
    return _number(text.encode("utf-8", "surrogatepass"))


def _number(data: bytes) -> str:
    return str(int.from_bytes(blake2b(data, digest_size=8).digest()))

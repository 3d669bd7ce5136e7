"""What a client is told of its limits, in the words of OpenAI's API."""

import math
from collections.abc import Iterator
from typing import NamedTuple

Header = tuple[bytes, bytes]


class State(NamedTuple):
    """`reset_s`: seconds until nothing is used any more, None if that never comes."""

    limit: int
    remaining: int
    reset_s: float | None


def limit_headers(requests: State | None, tokens: State | None) -> list[Header]:
    return [*_of(b"requests", requests), *_of(b"tokens", tokens)]


def duration(seconds: float) -> str:
    """`6m0s`, `1.5s`, `20ms`, `1h0m0s`: the largest unit first, those below it always."""
    milliseconds = max(0, math.ceil(seconds * 1000 - 1e-6))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{milliseconds / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{rest}"
    return f"{minutes}m{rest}" if minutes else rest


def _of(what: bytes, state: State | None) -> Iterator[Header]:
    if state is None:
        return
    yield b"x-ratelimit-limit-" + what, str(state.limit).encode()
    yield b"x-ratelimit-remaining-" + what, str(max(0, state.remaining)).encode()
    if state.reset_s is not None:
        yield b"x-ratelimit-reset-" + what, duration(state.reset_s).encode()

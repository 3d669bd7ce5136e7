"""What the edge tells the pool about the request at hand, and the pool tells back. Travels in a context variable,
because vLLM's serving layer stands between the two and passes on only what it knows.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from gateway.errors import SluiceError
from gateway.pool.leg import Leg


class Tap(Protocol):
    """Takes a stream's text as it is detokenized, and writes it out on `flush`, which follows once nothing more is waiting.

    Both are called inside the output loop: they may neither block nor raise.
    """

    def on_text(self, text: str, tokens: int) -> None: ...
    def flush(self) -> None: ...


class Work(Protocol):
    """Who wants to know how much work a request turned out to be, each once: its prompt (tokens) as it goes to an engine, as it
    has been prefilled, and its completion at the end.
    """

    def counted(self, prompt_tokens: int) -> None: ...
    def prefilled(self, prompt_tokens: int) -> None: ...
    def generated(self, tokens: int) -> None: ...


class Meter(Protocol):
    """Who pays for a request's tokens. `reserve` is asked once for each prompt, before an engine gets it: the error refuses it.
    `decided`: it has been, and has answered. `spend` is told of tokens as they come, and says why the request must end with them,
    if it must; `reason` repeats it.
    """

    @property
    def decided(self) -> bool: ...
    @property
    def reason(self) -> str | None: ...
    async def reserve(self, prompt: int, completion: int) -> SluiceError | None: ...
    def started(self) -> None: ...
    def spend(self, tokens: int) -> str | None: ...


class Beat(NamedTuple):
    """`sound` tells a stream's client that it waits; to be called every `every_s` seconds while nothing else is sent."""

    sound: Callable[[], None]
    every_s: float


@dataclass(slots=True)
class RequestContext:
    """`cache_salt` separates tenants in the prefix cache and hides seeds, unless a client may keep its `own_seed`. `direct`: the
    request at hand wants no stream generator of vLLM's; `tap` gets all its outputs but the last. `meter`: None if nobody counts
    its tokens. `failure`: why the pool ended it. Requests of one `session` prefer one engine. `trace`: W3C headers that go with it
    to the engine. `legs`: its attempts so far. `beat`: None if it is no stream.
    """

    cache_salt: str | None = None
    own_seed: bool = False
    direct: bool = False
    tap: Tap | None = None
    work: Work | None = None
    meter: Meter | None = None
    session: str | None = None
    trace: dict[str, str] | None = None
    legs: list[Leg] = field(default_factory=list)
    beat: Beat | None = None
    failure: SluiceError | None = None

    @property
    def route(self) -> str:
        """Why the last engine was chosen."""
        choice = self.legs[-1].choice if self.legs else None
        return "" if choice is None else choice.reason


current: ContextVar[RequestContext | None] = ContextVar("sluice_request", default=None)

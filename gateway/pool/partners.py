"""Whom the engine pool works with: who knows vLLM's messages, and who chooses engines."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from gateway.pool import wire
from gateway.pool.channel import EngineChannel
from gateway.pool.flight import Flight

Accept = Callable[[wire.EngineCard], str | None]
"""Why an engine is refused; None: it is not."""


def told(usable: Sequence[EngineChannel]) -> EngineChannel | None:
    """Which engine is told of the gateway's queue: one of those that take work. Whoever was told before forgets."""
    return min(usable, key=lambda each: each.card.engine_id, default=None)


class Codec(Protocol):
    """vLLM's messages, as far as the pool must know them; see vllm_seam.py."""

    def encode_request(self, request: Any) -> Sequence[Any]: ...
    def decode_outputs(self, frames: Sequence[Any]) -> Any: ...
    def failed(self, request_ids: Iterable[str]) -> Any: ...
    def full(self, request: Any, tokens: list[int]) -> Any | None:
        """What ends the request, if these are all the tokens that it asked for."""

    def cut(self, output: Any, reason: str) -> None:
        """Make it the last of its request."""

    def resumed(self, request: Any, tokens: list[int]) -> tuple[Any, int]:
        """The request that makes another engine go on after `tokens`, and how many of these its answer repeats first."""


class Chooser(Protocol):
    """Who decides which engine gets a request. None of these may raise or block."""

    def joined(self, channel: EngineChannel) -> None: ...
    def left(self, channel: EngineChannel) -> None: ...
    def weighed(self, channel: EngineChannel) -> None: ...
    def reported(self, channel: EngineChannel, peers: Sequence[EngineChannel], now: float) -> None: ...
    def pick(self, channels: Sequence[EngineChannel], flight: Flight) -> int: ...
    def began(self, flight: Flight, cached_tokens: int) -> None: ...
    def ended(self, flight: Flight) -> None: ...

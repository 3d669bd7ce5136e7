"""A chooser without opinions."""

import itertools
from collections.abc import Sequence

from gateway.pool.channel import EngineChannel
from gateway.pool.flight import Flight


class InTurn:
    """Each engine in its turn."""

    def __init__(self) -> None:
        self._turns = itertools.count()

    def joined(self, channel: EngineChannel) -> None: ...
    def left(self, channel: EngineChannel) -> None: ...
    def weighed(self, channel: EngineChannel) -> None: ...
    def reported(self, channel: EngineChannel, peers: Sequence[EngineChannel], now: float) -> None: ...
    def began(self, flight: Flight, cached_tokens: int) -> None: ...
    def ended(self, flight: Flight) -> None: ...

    def pick(self, channels: Sequence[EngineChannel], flight: Flight) -> int:
        del flight
        return next(self._turns) % len(channels)

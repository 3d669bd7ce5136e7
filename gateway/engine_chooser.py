"""Which engine gets a request: what the pool knows of its engines, told to the router, and the router's choice told back."""

import math
import os
import random
import time
from collections.abc import Sequence
from statistics import median

from gateway.pool.channel import EngineChannel
from gateway.pool.flight import Flight
from gateway.routing.prefix_index import PrefixIndex
from gateway.routing.prompt_hash import PromptHasher
from gateway.routing.recent_work import RecentWork
from gateway.routing.replica import Replica, Request
from gateway.routing.router import Router
from gateway.routing.sessions import session_hash

FIRST_COMPLETION = 256.0
"""Tokens that a completion is expected to have before any has been seen."""
WEIGHT = 0.02
UNREMARKABLE = 3.0
"""Times the usual step: a full batch steps that much slower than an empty one, and is no slower for it."""


class EngineChooser:
    """One per pool. Times are `time.monotonic`'s."""

    def __init__(self, seed: int | None = None) -> None:
        self._hasher = PromptHasher(os.urandom(32))
        self._router = Router(PrefixIndex(), RecentWork(), random.Random(seed))  # noqa: S311  it breaks ties
        self._replicas: dict[EngineChannel, Replica] = {}
        self._completion = FIRST_COMPLETION
        self._offered: Sequence[EngineChannel] = ()
        self._views: list[Replica] = []

    def joined(self, channel: EngineChannel) -> None:
        card = channel.card
        self._router.joined(card.engine_id, card.kv_tokens)
        self._replicas[channel] = Replica(
            card.engine_id, max_requests=float(card.max_num_seqs), kv_tokens=card.kv_tokens
        )

    def left(self, channel: EngineChannel) -> None:
        self._router.left(channel.card.engine_id)
        self._offered, self._views = (), []
        self._replicas.pop(channel, None)

    def pick(self, channels: Sequence[EngineChannel], flight: Flight) -> int:
        """Index of the chosen engine; why is left with the flight."""
        now = time.monotonic()
        request, context = flight.request, flight.context
        salt = (context.cache_salt if context is not None else None) or ""
        session = context.session if context is not None else None
        asked = Request(
            self._hasher.blocks(salt, request.prompt_token_ids),
            flight.prompt_tokens,
            min(self._completion, request.sampling_params.max_tokens or self._completion),
            None if session is None else session_hash(salt, session),
        )
        choice = self._router.route(asked, self._snapshot(channels), now)
        assert choice is not None, "the pool offers none that cannot take it"
        flight.ticket = self._router.dispatched(asked, choice, now)
        flight.choice, flight.uncached = choice, flight.ticket.uncached_tokens
        return choice.index

    def began(self, flight: Flight, cached_tokens: int) -> None:
        """An engine's first output, with how much of the prompt was in its cache."""
        if flight.ticket is not None:
            self._router.started(flight.ticket, cached_tokens)
            flight.ticket = None

    def ended(self, flight: Flight) -> None:
        self._completion += WEIGHT * (len(flight.tokens) - self._completion)

    def weighed(self, channel: EngineChannel) -> None:
        """What this gateway has there, or what others have, is more or less than it was."""
        if (replica := self._replicas.get(channel)) is not None:
            replica.requests = channel.requests + replica.others_requests
            replica.prefill_tokens = channel.prefill_tokens + replica.others_prefill_tokens
            replica.decode_tokens = self._completion / 2 * replica.requests

    def reported(self, channel: EngineChannel, peers: Sequence[EngineChannel], now: float) -> None:
        """What changes with an engine's reports."""
        replica, others = self._replicas[channel], channel.others
        replica.reported_at = channel.reported_at
        replica.kv_room = (1.0 - channel.load.kv_use) * replica.kv_tokens if replica.kv_tokens else math.inf
        replica.others_requests, replica.others_prefill_tokens = float(others.requests), float(others.prefill_tokens)
        pace = channel.pace.step_s(now)
        usual = [step_s for peer in peers if peer is not channel and (step_s := peer.pace.step_s(now)) is not None]
        slowness = pace / median(usual) if pace and usual else 1.0
        replica.slowness = slowness if slowness > UNREMARKABLE else 1.0
        self.weighed(channel)

    def _snapshot(self, channels: Sequence[EngineChannel]) -> list[Replica]:
        if channels != self._offered:
            self._offered, self._views = channels, [self._replicas[channel] for channel in channels]
        return self._views

"""One request's way through the pool: what its stream has got so far, and which attempt at it is under way."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.pool.channel import EngineChannel
from gateway.pool.context import RequestContext, Work
from gateway.pool.leg import Leg, Reason
from gateway.pool.parking import still

HEDGE = 100
"""Attempts of a hedge are counted from here, so that their ids on the wire are nobody else's."""


class DivergedError(Exception):
    """A replay gave other tokens than the stream has got already."""


@dataclass(slots=True)
class Flight:
    """`tokens` is the journal: all that the layers above have been given. `attempt` counts engines asked; an engine knows the
    request by the attempt's own id, so that what an older attempt still says is nobody's. `known`: how many tokens of the attempt's
    answer are in the journal and yet to come, `grown`: how many of the journal its prompt ends with. `channel` is None while no
    engine has it; `ticket` and `choice` are the chooser's own, and so is `uncached`: what of the prompt, without `grown`, its
    engine must compute; `rival` races for the first token, and whoever gets none is withdrawn. `deaths`: of engines with it aboard
    that it may have had a part in, `blamed`: those of them it is suspected of, `singled_out`: of one of them alone; `gained`:
    tokens of the present attempt. `asked`: when it came, or its engine was lost, `found`: when there was one to have it; `heard`:
    when its client was last told that it waits, of a replay; `leg` tells how its present attempt went.
    """

    request_id: str
    request: Any
    prompt_tokens: int
    context: RequestContext | None = None
    channel: EngineChannel | None = None
    attempt: int = 0
    deaths: int = 0
    blamed: int = 0
    singled_out: bool = False
    gained: int = 0
    known: int = 0
    grown: int = 0
    started: bool = False
    probe: bool = False
    prefilled: bool = False
    ticket: Any = None
    choice: Reason | None = None
    asked: float = 0.0
    found: float = 0.0
    heard: float = 0.0
    leg: Leg | None = None
    rival: "Flight | None" = None
    tokens: list[int] = field(default_factory=list)
    uncached: int = field(init=False)

    def __post_init__(self) -> None:
        self.uncached = self.prompt_tokens

    @property
    def wire_id(self) -> str:
        return self.request_id if self.attempt < 2 else f"{self.request_id}~{self.attempt}"

    @property
    def engines_asked(self) -> int:
        return self.attempt % HEDGE

    @property
    def work(self) -> Work | None:
        return self.context.work if self.context is not None else None

    async def parked(self, attempt: int, seconds: float, here: Callable[[], bool]) -> bool:
        """Whether this attempt still has no engine after so long; `here`: whether it is under way at all."""

        def waits() -> bool:
            return here() and self.channel is None and self.attempt == attempt

        return await still(waits, seconds, self.context.beat if self.context is not None else None)

    def pay(self, output: Any, cut: Callable[[Any, str], None]) -> bool:
        """For the tokens of an output. True: there are no more to pay with, and `cut` made it the last."""
        meter = self.context.meter if self.context is not None else None
        reason = None if meter is None else meter.spend(len(output.new_token_ids))
        if reason is None or output.finish_reason is not None:
            return False
        cut(output, reason)
        return True

    def load(self, channel: EngineChannel) -> None:
        """Onto an engine, whose backlog it is part of until its first output."""
        self.channel, self.started, self.grown = channel, False, len(self.tokens) - self.known
        channel.weigh(1, self.prompt_tokens + self.grown, self.uncached + self.grown)

    def start(self) -> None:
        """Its engine has prefilled it."""
        self.started = True
        self._prefilled()

    def _prefilled(self) -> None:
        assert self.channel is not None
        self.channel.weigh(0, -self.prompt_tokens - self.grown, -self.uncached - self.grown)

    def unload(self) -> None:
        """Off its engine."""
        if self.channel is not None:
            self.channel.weigh(-1, 0, 0)
            if not self.started:
                self._prefilled()
                if self.probe:
                    self.channel.breaker.probing = False
            self.channel = None

    def beat(self, now: float) -> None:
        """Its engine gives what the stream has had already."""
        beat = self.context.beat if self.context is not None else None
        if beat is not None and now - max(self.asked, self.heard) >= beat.every_s:
            self.heard = now
            beat.sound()

    def note_start(self) -> None:
        if self.context is not None and self.context.meter is not None:
            self.context.meter.started()

    def note_prefill(self) -> None:
        """At the first output, or at the end if there was none."""
        if not self.prefilled and self.work is not None:
            self.work.prefilled(self.prompt_tokens)
        self.prefilled = True

    def begin_leg(self, engine: str) -> None:
        self.leg = Leg(
            engine,
            self.attempt,
            self.prompt_tokens,
            self.tokens,
            len(self.tokens),
            self.asked,
            self.choice,
            found=self.found,
            hedge=self.attempt > HEDGE,
            sent=time.monotonic(),
        )
        if self.context is not None:
            self.context.legs.append(self.leg)

    def end_leg(self, end: str, now: float, last: float | None = None) -> None:
        if self.leg is not None:
            self.leg.over(end, now, last)

    def note_events(self, output: Any, shift: float | None) -> None:
        """Put an engine's own times on our clock (s to be added); without a shift they say nothing here."""
        if shift is None:
            output.events = None
            return
        for event in output.events:
            event.timestamp += shift
        if self.leg is not None:
            self.leg.noted(output.events)

    def note_end(self) -> None:
        self.note_prefill()
        if self.work is not None:
            self.work.generated(len(self.tokens))

    def hedge(self) -> "Flight":
        """The same request, for another engine."""
        self.rival = Flight(self.request_id, self.request, self.prompt_tokens, self.context, attempt=HEDGE, rival=self)
        self.rival.asked = time.monotonic()
        self.pass_blame(self.rival)
        return self.rival

    def pass_blame(self, other: "Flight") -> None:
        """To who goes on in its stead."""
        other.deaths, other.blamed, other.singled_out = self.deaths, self.blamed, self.singled_out

    def take(self, output: Any) -> bool:
        """Journal an output of the present attempt. False: the stream has had all of it. Raises DivergedError."""
        self.gained += len(output.new_token_ids)
        if self.attempt > 1 and not self._is_news(output):
            return False
        self.tokens += output.new_token_ids
        return True

    def _is_news(self, output: Any) -> bool:
        output.request_id = self.request_id
        if self.tokens:
            output.prefill_stats = output.events = None
        if not self.known:
            return True
        repeated = output.new_token_ids[: self.known]
        begin = len(self.tokens) - self.known
        self.known -= len(repeated)
        if repeated != self.tokens[begin : begin + len(repeated)] or (self.known and output.finish_reason is not None):
            raise DivergedError(f"after {begin} tokens")
        fresh = len(output.new_token_ids) - len(repeated)
        if not fresh and output.finish_reason is None:
            return False
        output.new_token_ids = output.new_token_ids[len(repeated) :]
        if output.new_logprobs is not None:
            output.new_logprobs = output.new_logprobs.slice_request(len(repeated), fresh)
        return True

"""The guard in a request's way: who may ask, what for, and what is told of it once it has ended."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.errors import (
    InvalidRequest,
    LeakBudgetSpent,
    LeakBudgetUnknown,
    LogprobsWithConstraint,
    Quarantined,
    RateLimited,
    VerificationRequired,
)
from gateway.guard.exclusion import NOTHING, Ask, ask_of, conflict, without_logprobs
from gateway.guard.leak_budgets import Denied, Held
from gateway.guard.observation import Observation, numbers, token_ids
from gateway.guard.verdict import CLEAR, Level, Verdict
from gateway.http.conversation import messages_of
from gateway.http.surface import Admitted, admit, admit_anything, prompts_of, sequences_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.config.guard import Guard as GuardConfig
    from gateway.guard.guard import Guard
    from gateway.guard.leak_budgets import LeakBudgets
    from gateway.guard.leaks import Shape
    from gateway.guard.throttle import Throttle
    from gateway.http.door import Caller
    from gateway.http.surface import Route, SurfacePolicy
    from gateway.pool.context import Work

REASON: Final = "x-sluice-reason"
EXCLUSION: Final = "exclusion"
PROMPTS: Final = "prompts"
"""Too many of them in one request, at level `strip` or above."""
TOO_SOON: Final = 429
"""A refusal by limits, which says nothing of what was asked."""
GAVE_UP: Final = 499
"""From this status on, the client left before it had anything, or the service failed: neither tells anything of a key."""
NO_BODY: Final = Admitted({}, (), 0)


class Watcher(Protocol):
    """Who counts what is done; `action` is from a closed set, `tier` the key's."""

    def acted(self, action: str, tier: str) -> None: ...


class Guarding:
    """One for each gateway. With an open surface nothing is refused, and nothing is seen. `tiers`: of the keys seen."""

    def __init__(
        self,
        settings: GuardConfig,
        guard: Guard,
        leaks: LeakBudgets,
        throttle: Throttle,
        watcher: Watcher,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.guard, self.leaks, self.throttle = settings, guard, leaks, throttle
        self.watcher, self.clock = watcher, clock
        self.tiers: dict[str, str] = {}
        self.open_surface = settings.unsafe_open_surface
        self.trusted = frozenset(name for name, tenant in settings.tenants.items() if tenant.trusted)

    def watch(self) -> Watch:
        return Watch(self)


class Watch:
    """Of one request, in this order: `enter`, `admit`, `check`, `counting`, `end`. The first three raise what a client gets."""

    def __init__(self, guarding: Guarding) -> None:
        self._guarding = guarding
        self._begun = guarding.clock()
        self._caller: Caller | None = None
        self._verdict: Verdict = CLEAR
        self._action = ""
        self._throttled = False
        self._route: Route | None = None
        self._admitted: Admitted | None = None
        self._model = ""
        self._ask: Ask = NOTHING
        self._held: Held | None = None
        self._work: Work | None = None
        self._decode: Callable[[Sequence[int]], str] = numbers
        self._prompt = self._completion = 0
        self._running = 0

    @property
    def told(self) -> str:
        """What the guard did to this request, or the level under which it let it pass; empty if neither."""
        level = self._verdict.applied
        return self._action or (level.label if level else "")

    @property
    def refused(self) -> bool:
        """Whether the guard refused this request. One that it let pass under a level, or stripped, was served."""
        return self._action not in ("", Level.STRIP.label)

    def enter(self, caller: Caller) -> None:
        """By the key's verdict, which is only looked up."""
        guarding = self._guarding
        if guarding.open_surface:
            return
        self._caller = caller
        guarding.tiers[caller.key_id] = caller.tier
        verdict = self._verdict = guarding.guard.verdict(caller.key_id, caller.tenant)
        if verdict.applied < Level.THROTTLE:
            return
        if verdict.applied >= Level.VERIFY:
            self._acted(verdict.applied.label, caller)
            error = Quarantined if verdict.applied is Level.QUARANTINE else VerificationRequired
            raise error(_SPEAK_TO_US, headers=[(REASON, error.__name__)])
        wait_s = guarding.throttle.enter(caller.key_id, guarding.clock(), verdict.pace)
        if wait_s is not None:
            self._acted(Level.THROTTLE.label, caller)
            raise RateLimited("Too many requests for this key.", retry_after=wait_s, headers=[(REASON, "guard")])
        self._throttled = True

    def admit(self, route: Route, body: object, policy: SurfacePolicy) -> Admitted:
        """What the surface makes of the body. Who is refused here is seen, and what was asked is not."""
        if self._guarding.open_surface:
            return admit_anything(route, body, policy)
        try:
            return admit(route, body, policy)
        except InvalidRequest:
            self._route, self._admitted = route, NO_BODY
            raise

    async def check(
        self,
        route: Route,
        admitted: Admitted,
        shape: Shape,
        longest: int,
        *,
        bound: bool = False,
        decode: Callable[[Sequence[int]], str] = numbers,
    ) -> Admitted:
        """The request as it may go on. `longest`: the model's context, in tokens; `bound`: see `ask_of`; `decode`: the model's
        tokens as text, asked for later and in another thread.
        """
        guarding = self._guarding
        if guarding.open_surface or self._caller is None:
            return admitted
        self._route, self._model, self._decode = route, shape.model, decode
        ask, tenant = ask_of(admitted.body, bound=bound, cuts=shape.cuts), self._caller.tenant
        self._ask, self._admitted = ask, admitted
        if ask.scalars and guarding.settings.exclusion and tenant not in guarding.trusted:
            field = conflict(ask)
            if field is not None:
                self._acted(EXCLUSION, self._caller)
                raise LogprobsWithConstraint(
                    f"Logprobs are not available together with '{field}'.", param=field, headers=[(REASON, EXCLUSION)]
                )
        if self._verdict.applied >= Level.STRIP:
            admitted = self._stripped(admitted, ask)
            ask = ask._replace(scalars=0)
        if ask.setting is not None and not await guarding.leaks.familiar(tenant, shape, ask.setting):
            ask = ask._replace(searching=True)
        self._ask, self._admitted = ask, admitted
        if ask.leaks:
            await self._reserve(self._caller, shape, ask, admitted.sequences, longest)
        return admitted

    def counting(self, work: Work) -> Work:
        """What the pool tells about the request's tokens goes to `work`, and is noted here."""
        self._work = work
        return self

    def counted(self, prompt_tokens: int) -> None:
        self._prompt = max(self._prompt, prompt_tokens)
        self._running += 1
        assert self._work is not None
        self._work.counted(prompt_tokens)

    def prefilled(self, prompt_tokens: int) -> None:
        assert self._work is not None
        self._work.prefilled(prompt_tokens)

    def generated(self, tokens: int) -> None:
        self._completion += tokens
        self._running -= 1
        assert self._work is not None
        self._work.generated(tokens)

    def end(self, status: int) -> None:
        """Once, however the request ended."""
        guarding, caller = self._guarding, self._caller
        if self._throttled and caller is not None:
            guarding.throttle.leave(caller.key_id)
        if self._held is not None and self._running <= 0:
            # What nobody has told the end of stays spent.
            guarding.leaks.settle(self._held, self._completion)
        if status >= GAVE_UP or status == TOO_SOON:
            return
        if caller is not None and self._admitted is not None and self._route is not None:
            for seen in self._observations(caller, self._route, self._admitted, status):
                guarding.guard.observe(seen)

    def _acted(self, action: str, caller: Caller) -> None:
        self._action = action
        self._guarding.watcher.acted(action, caller.tier)

    async def _reserve(self, caller: Caller, shape: Shape, ask: Ask, sequences: int, longest: int) -> None:
        found = await self._guarding.leaks.reserve(caller.tenant, shape, ask, sequences, longest)
        if isinstance(found, Denied):
            self._acted(found, caller)
            headers = [(REASON, found.value)]
            if found is Denied.UNKNOWN:
                raise LeakBudgetUnknown("Logprobs, biases and constraints are not available now.", headers=headers)
            raise LeakBudgetSpent(
                "The budget for logprobs, biases, constraints and ever new settings of temperature, top_p and min_p is used up "
                "for this model, or smaller than the most that this request could take: send a smaller max_tokens.",
                headers=headers,
            )
        self._held = found

    def _stripped(self, admitted: Admitted, ask: Ask) -> Admitted:
        body, dropped = dict(admitted.body), []
        if ask.scalars:
            without_logprobs(body)
            dropped.append("logprobs")
        n, prompts, most = body.get("n"), len(prompts_of(body)), self._guarding.settings.strip_max_n
        assert self._caller is not None
        if prompts > most:
            self._acted(PROMPTS, self._caller)
            raise InvalidRequest(
                f"At most {most} in one request for this key: send your prompts one by one.",
                param="prompt",
                headers=[(REASON, PROMPTS)],
            )
        if isinstance(n, int) and n > most // prompts:
            body["n"] = most // prompts
            dropped.append("n")
        if not dropped:
            return admitted
        self._acted(Level.STRIP.label, self._caller)
        return replace(admitted, body=body, dropped=(*admitted.dropped, *dropped), sequences=sequences_of(body))

    def _observations(self, caller: Caller, route: Route, admitted: Admitted, status: int) -> Iterator[Observation]:
        """One for each prompt that was answered; the tokens of a list's answers, not counted apart, are dealt out evenly."""
        body: dict[str, Any] = admitted.body
        ask, n, prompts = self._ask, body.get("n"), prompts_of(body)[: 1 if status >= 400 else None]
        limit = None if ask.limit is None else ask.limit * admitted.sequences
        each, left = divmod(self._completion, len(prompts))
        for place, prompt in enumerate(prompts):
            yield Observation(
                key=caller.key_id,
                tenant=caller.tenant,
                model=self._model,
                at=self._begun,
                messages=messages_of(route.path, body if prompt is None else {"prompt": prompt}) if body else (),
                prompt_tokens=self._prompt,
                completion_tokens=each + (place < left),
                max_tokens=ask.limit,
                finish="length" if limit is not None and self._completion >= limit else "stop",
                temperature=body.get("temperature"),
                top_p=body.get("top_p"),
                n=n if isinstance(n, int) else 1,
                seed=ask.seed,
                logprobs=ask.scalars,
                bias=ask.bias,
                constrained=(ask.constraint or ask.moved) is not None,
                stream=body.get("stream") is True,
                status=status,
                unread=token_ids(prompt, self._decode) if type(prompt) is list else None,
            )


_SPEAK_TO_US: Final = (
    "This key must be verified before it can be used again. Please contact the operator of this service."
)

"""The limits of one gateway: windows and budgets, shared through Redis where there is one, and what happens without it.

While the shared store answers, a budget is never exceeded: the most a request can use is reserved before it begins.

While it does not (`outage`):

    share    each gateway admits from its own part, `share` of every limit, going on from what it last knew to be used.
             G gateways together admit at most G * share * limit for each period of the outage on top of what was used
             before: the limit once more, if share is 1 / G. What was used is charged when the store is back; a gateway
             that ends before that forgets what it admitted.
    refuse   every request that a rule applies to is refused, with 503.

The default is `share`: plain limits keep cost and capacity in bounds, and that bound holds; turning a lost counter into
a lost service would help nobody. What must never be exceeded (leak budgets) asks the store itself and refuses.

A gateway that dies gives back what it had reserved within `lease_s`, but for what it had told to be used, at most
`lease_s / 3` before.
"""

import asyncio
import contextlib
import itertools
import math
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from typing import Final, Literal, NamedTuple

from gateway.limits.budgets import Meter, full_in, wait_for
from gateway.limits.headers import State
from gateway.limits.local_budgets import LocalBudgets
from gateway.limits.policy import Policy, Subject, TokenRule, scaled
from gateway.limits.settlement import Settlement
from gateway.limits.store import BudgetStore, Claim, Denied, Granted, StoreUnavailable
from gateway.limits.verdict import Part, Permit, Reason, Refused
from gateway.limits.windows import Full, LocalWindows, Passed, Windows


class Shared(NamedTuple):
    windows: Windows
    budgets: BudgetStore


class Settings(NamedTuple):
    """`chunk`: completion tokens reserved at a time for a request that names no max_tokens. Times in seconds."""

    share: float = 1.0
    outage: Literal["share", "refuse"] = "share"
    lease_s: float = 60.0
    retry_s: float = 1.0
    chunk: int = 1024


DEFAULT_SETTINGS: Final = Settings()
AGAIN_S: Final = 0.2


class Limiter:
    """`open` before use, `close` after the last permit has ended."""

    def __init__(
        self,
        shared: Shared | None = None,
        settings: Settings = DEFAULT_SETTINGS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._shared, self._settings, self._clock = shared, settings, clock
        self._windows = LocalWindows(settings.share, clock)
        self._budgets = LocalBudgets(clock)
        name = secrets.token_hex(6)
        self._names = (f"{name}-{number}" for number in itertools.count())
        self._settlement = Settlement(self._budgets, None if shared is None else shared.budgets, name, settings.retry_s)
        self._circuit = self._settlement.circuit
        self._open: set[Permit] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def problem(self) -> str | None:
        """Why the shared store is not asked at the moment."""
        return self._circuit.problem

    @property
    def budgets(self) -> BudgetStore:
        """For budgets that must never be exceeded: asks the shared store itself, and fails as it does."""
        return self._budgets if self._shared is None else self._shared.budgets

    @property
    def chunk(self) -> int:
        return self._settings.chunk

    @property
    def open_reservations(self) -> int:
        """Requests whose tokens are reserved and not settled yet."""
        return len(self._open)

    def open(self) -> None:
        self._spawn(self._settlement.run())
        self._spawn(self._renew())
        if self._shared is not None:
            self._spawn(self._circuit.run())

    async def close(self) -> None:
        """Settles what is due; what a lost store cannot be told, its leases give back."""
        while self._tasks:
            # redis-py has been seen to take a cancellation for the end of a timeout of its own: one may not be enough.
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=AGAIN_S)
        with contextlib.suppress(StoreUnavailable):
            await self._settlement.flush(last=True)
        if self._shared is not None:
            await self._shared.budgets.close()

    async def enter(self, subject: Subject, policy: Policy) -> State | Refused | None:
        """Counts one request in every window that applies; None where none does."""
        if not policy.windows:
            return None
        if (shared := self._asked()) is not None:
            try:
                return _entered(await shared.windows.enter(subject, policy.windows))
            except StoreUnavailable as exc:
                self._circuit.trip(exc)
        if self._refuses():
            return _unavailable(self._settings.retry_s)
        return _entered(await self._windows.enter(subject, policy.windows))

    async def reserve(
        self, subject: Subject, policy: Policy, model: str, prompt: int, completion: int | None
    ) -> Permit | Refused:
        """`completion`: the most tokens that can be generated, over all choices; None if the request names no bound."""
        permit = self.permit(subject, policy, model)
        refused = await self.extend(permit, prompt, completion)
        return permit if refused is None else refused

    def permit(self, subject: Subject, policy: Policy, model: str) -> Permit:
        """One for nothing yet: `extend` reserves what it is for."""
        rules = policy.rules(model)
        return Permit(subject, rules, [rule.claim(subject) for rule in rules], self._ended, self._low)

    async def extend(self, permit: Permit, prompt: int, completion: int | None) -> Refused | None:
        """Reserves for one more prompt of a request what `reserve` does for the first."""
        if not permit.rules:
            return None
        refused = await self._extend(permit, prompt + (self._settings.chunk if completion is None else completion))
        if refused is None and completion is None:
            permit.low_water = permit.allowance - self._settings.chunk / 2
        return refused

    async def check(self, permit: Permit, least: int) -> Refused | None:
        """Whether a request that will reserve at least so many tokens is in vain, told before any work is done for it.

        The shared store is asked only if, by what this gateway has last heard of it, there is not enough left.
        """
        if not permit.rules:
            return None
        tenant, claims, share = permit.subject.tenant, permit.claims, self._settings.share
        own = scaled(claims, share)
        shared = self._asked()
        if shared is None and self._refuses():
            return _unavailable(self._settings.retry_s)
        scale = 1.0 if shared is None else share
        if self._budgets.surely_fits(tenant, own, least * scale):
            return None
        now = self._clock()
        used = self._budgets.levels(tenant, own, now)
        hindrance = _hindrance(own, used, least * scale, now)
        if hindrance is not None and shared is not None:
            try:
                used = await shared.budgets.used(tenant, claims)
            except StoreUnavailable as exc:
                self._circuit.trip(exc)
                return None
            self._budgets.note(tenant, own, [tokens * share for tokens in used])
            own, hindrance = claims, _hindrance(claims, used, least, now)
        if hindrance is None:
            return None
        place, wait = hindrance
        whole = (own if self._shared is None else claims)[place].budget.limit
        wait = self._settings.retry_s if math.isinf(wait) else wait
        return _denied(permit.rules[place], least, whole, wait, _state(own[place], used[place], now))

    async def _extend(self, permit: Permit, tokens: int) -> Refused | None:
        """Adds a part to the permit, or says why not."""
        name, tenant, claims = next(self._names), permit.subject.tenant, permit.claims
        own = scaled(claims, self._settings.share)
        if (shared := self._asked()) is not None:
            part = Part(name, claims, tokens, local=False)
            try:
                answer = await shared.budgets.reserve(tenant, name, claims, tokens, self._settings.lease_s)
            except (StoreUnavailable, asyncio.CancelledError) as exc:
                # It may have been reserved all the same.
                self._settlement.settle(tenant, part, 0)
                if isinstance(exc, asyncio.CancelledError):
                    raise
                self._circuit.trip(exc)
            else:
                self._budgets.note(tenant, own, [used * self._settings.share for used in answer.used])
                return self._answered(permit, part, claims, answer)
        if self._refuses():
            return _unavailable(self._settings.retry_s)
        answer = await self._budgets.reserve(tenant, name, own, tokens, self._settings.lease_s)
        return self._answered(permit, Part(name, claims, tokens, local=True), own, answer)

    def _answered(
        self, permit: Permit, part: Part, claims: Sequence[Claim], answer: Granted | Denied
    ) -> Refused | None:
        now = self._clock()
        if isinstance(answer, Denied):
            state = _state(claims[answer.claim], answer.used[answer.claim], now)
            # A gateway's own part may be too small for what the whole budget has room for.
            whole = (claims if self._shared is None else part.claims)[answer.claim].budget.limit
            wait = self._settings.retry_s if answer.wait_s is None else answer.wait_s
            return _denied(permit.rules[answer.claim], part.tokens, whole, wait, state)
        permit.parts.append(part)
        left = [claim.budget.limit - used for claim, used in zip(claims, answer.used, strict=True)]
        tightest = left.index(min(left))
        permit.tokens = _state(claims[tightest], answer.used[tightest], now)
        if permit.ended:
            # The request ended while its tokens were being reserved.
            self._settlement.settle(permit.subject.tenant, part, 0)
        else:
            self._open.add(permit)
        return None

    def _low(self, permit: Permit) -> None:
        permit.low_water = float("inf")
        self._spawn(self._more(permit))

    async def _more(self, permit: Permit) -> None:
        refused = await self._extend(permit, self._settings.chunk)
        if refused is not None:
            permit.exhausted = refused.reason
        else:
            permit.low_water = permit.allowance - self._settings.chunk / 2

    def _ended(self, permit: Permit) -> None:
        self._open.discard(permit)
        shares = permit.shares()
        for part in permit.parts:
            self._settlement.settle(permit.subject.tenant, part, shares[part.reservation])

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            here: defaultdict[str, dict[str, int]] = defaultdict(dict)
            there: defaultdict[str, dict[str, int]] = defaultdict(dict)
            for permit in self._open:
                shares = permit.shares()
                for part in permit.parts:
                    (here if part.local else there)[permit.subject.tenant][part.reservation] = shares[part.reservation]
            for tenant, used in here.items():
                await self._budgets.renew(tenant, used, self._settings.lease_s)
            if (shared := self._asked()) is not None:
                try:
                    for tenant, used in there.items():
                        await shared.budgets.renew(tenant, used, self._settings.lease_s)
                except StoreUnavailable as exc:
                    self._circuit.trip(exc)

    def _asked(self) -> Shared | None:
        return self._shared if self._circuit.closed else None

    def _refuses(self) -> bool:
        return self._shared is not None and self._settings.outage == "refuse"

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _entered(found: Passed | Full | None) -> State | Refused | None:
    if found is None or isinstance(found, Passed):
        return None if found is None else State(found.limit, found.remaining, found.reset_s)
    item = found.rule.item
    message = f"Too many requests for this {found.rule.scope}: the limit is {item}."
    state = State(item.amount, 0, found.reset_s)
    return Refused(Reason.REQUESTS, message, found.wait_s, found.rule.scope, requests=state)


def _hindrance(claims: Sequence[Claim], used: Sequence[float], tokens: float, now: float) -> tuple[int, float] | None:
    """Which budget stands in the way longest, and for how many seconds; infinitely many if for ever."""
    waits = [wait_for(claim.budget, Meter(level, now), tokens, now) for claim, level in zip(claims, used, strict=True)]
    longest = max((math.inf if wait is None else wait, place) for place, wait in enumerate(waits))
    return None if longest[0] == 0 else (longest[1], longest[0])


def _denied(rule: TokenRule, tokens: int, limit: int, wait_s: float, state: State) -> Refused:
    if tokens > limit:
        message = f"The request may use {tokens} tokens; the {rule.scope}'s budget is {limit} per {rule.per}."
        return Refused(Reason.TOO_LARGE, message, None, rule.scope, tokens=state)
    if rule.per == "lifetime":
        return Refused(Reason.QUOTA, f"The {rule.scope}'s token quota is used up.", None, rule.scope, tokens=state)
    message = f"The {rule.scope}'s budget of {limit} tokens per {rule.per} is used up."
    return Refused(Reason.TOKENS, message, wait_s, rule.scope, tokens=state)


def _unavailable(retry_s: float) -> Refused:
    return Refused(Reason.STORE, "The limits cannot be checked at the moment.", retry_s, "gateway")


def _state(claim: Claim, used: float, now: float) -> State:
    return State(claim.budget.limit, int(claim.budget.limit - used), full_in(claim.budget, Meter(used, now), now))

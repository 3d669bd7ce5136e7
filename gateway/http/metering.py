"""What one request may still use: windows at the door, tokens from the exact prompt to the last token, settled at the end."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, Self

from gateway.errors import QuotaExhausted, RateLimited, SluiceError, Unavailable
from gateway.http.tickets import REASON
from gateway.limits.address import client_address
from gateway.limits.headers import limit_headers
from gateway.limits.policy import Policy, Subject
from gateway.limits.verdict import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from gateway.http.asgi import Headers, Scope
    from gateway.http.door import Caller
    from gateway.limits.address import Network
    from gateway.limits.headers import State
    from gateway.limits.limiter import Limiter
    from gateway.limits.opening import Policies
    from gateway.limits.verdict import Permit

NOTHING: Final = Policy()
NOBODY: Final = Subject("", "")


class Watcher(Protocol):
    """Who counts what the limits do; `tier` is the key's, empty where nobody is known."""

    def refused(self, tier: str, reason: str) -> None: ...
    def cut(self, tier: str, reason: str) -> None: ...
    def reserved(self, tier: str, used: float) -> None: ...
    def settled(self, tier: str, tokens: int) -> None: ...


class Meters:
    """One for each gateway: makes the meter of every request. `trusted` proxies are believed about who is behind them."""

    def __init__(self, limiter: Limiter, policies: Policies, trusted: Sequence[Network], watcher: Watcher) -> None:
        self.limiter, self.policies, self.watcher = limiter, policies, watcher
        self._trusted = tuple(trusted)

    def meter(self, scope: Scope) -> Meter:
        return Meter(self, scope)

    def address(self, scope: Scope) -> str | None:
        """None where no client's is known: on a Unix socket, behind HAProxy."""
        if (peer := scope.get("client")) is None:
            return None
        told = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return client_address(peer[0], told, self._trusted)


class Meter:
    """Of one request, in this order: `arrive`, `enter`, `check`, then what the pool tells it (gateway/pool/context.py).

    Each raises the error that a client gets. Leaving the context settles: what was used is paid, the rest comes back.
    """

    def __init__(self, meters: Meters, scope: Scope) -> None:
        self.reason: Reason | None = None
        self.decided = False
        self.subject = NOBODY
        self._meters = meters
        self._scope = scope
        self._limiter = meters.limiter
        self._policy = NOTHING
        self._tier = ""
        self._permit: Permit | None = None
        self._bounded = True
        self._due = 0
        self._requests: State | None = None
        self._tokens: State | None = None
        self._refusal: SluiceError | None = None

    async def arrive(self) -> None:
        """Before anybody is known: the windows of the client's address."""
        if rules := self._meters.policies.address:
            self.subject = Subject("", "", self.address)
            await self._count(Policy(rules))

    async def enter(self, caller: Caller) -> None:
        """The windows of a key and its tenant."""
        policies = self._meters.policies
        self.subject = Subject(caller.key_id, caller.tenant)
        self._policy = policies.of(caller.tier)
        self._tier = caller.tier
        await self._count(self._policy)

    async def check(self, model: str, most: int | None) -> bool:
        """Before the request waits for anything. `most`: tokens it may generate, None if it names no bound.

        False: nobody counts its tokens.
        """
        permit = self._limiter.permit(self.subject, self._policy, model)
        if not permit.rules:
            return False
        self._permit, self._bounded = permit, most is not None
        refused = await self._limiter.check(permit, 1 + (most or 0))
        if refused is not None:
            raise self._refused(refused)
        return True

    async def reserve(self, prompt: int, completion: int) -> SluiceError | None:
        """For one prompt and all its choices, as they go to an engine; in tokens. The error, if there is not enough left."""
        if self._refusal is not None or self._permit is None:
            return self._refusal
        chunked = not self._bounded and completion > self._limiter.chunk
        refused = await self._limiter.extend(self._permit, prompt, None if chunked else completion)
        self.decided = True
        if refused is not None:
            self._refusal = self._refused(refused)
            return self._refusal
        self._due += prompt
        state = self._tokens = self._permit.tokens
        if state is not None:
            self._meters.watcher.reserved(self._tier, 1 - state.remaining / state.limit)
        return None

    def started(self) -> None:
        """An engine has it: its prompts are paid for."""
        if self._due and self._permit is not None:
            self._permit.add(self._due)
            self._due = 0

    def spend(self, tokens: int) -> str | None:
        """Tokens that were generated; the reason, if the request has to end with them."""
        permit = self._permit
        if permit is None or permit.add(tokens):
            return None
        if self.reason is None and (reason := permit.exhausted) is not None:
            self.reason = reason
            self._meters.watcher.cut(self._tier, reason)
        return self.reason

    @cached_property
    def address(self) -> str | None:
        """Read when something depends on it."""
        return self._meters.address(self._scope)

    @property
    def headers(self) -> Headers:
        reason = [] if self.reason is None else [(REASON.encode(), self.reason.encode())]
        return limit_headers(self._requests, self._tokens) + reason

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._permit is not None:
            self._permit.settle()
            self._meters.watcher.settled(self._tier, self._permit.used)

    async def _count(self, policy: Policy) -> None:
        found = await self._limiter.enter(self.subject, policy)
        if isinstance(found, Refused):
            raise self._refused(found)
        # Of the address's windows and the caller's, the client is told of the one with the least left.
        if found is not None and (self._requests is None or found.remaining < self._requests.remaining):
            self._requests = found

    def _refused(self, refused: Refused) -> SluiceError:
        self._requests, self._tokens = refused.requests or self._requests, refused.tokens or self._tokens
        self._meters.watcher.refused(self._tier, refused.reason)
        headers = [(REASON, refused.reason.value)]
        match refused.reason:
            case Reason.QUOTA:
                return QuotaExhausted(refused.message, headers=headers)
            case Reason.STORE:
                return Unavailable(refused.message, retry_after=refused.retry_after_s or 1.0, headers=headers)
            case _:
                return RateLimited(refused.message, retry_after=refused.retry_after_s, headers=headers)

"""What is asked of admission and what it answers: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Priority(StrEnum):
    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"


DEFAULT_SHARES: Final[Mapping[Priority, float]] = MappingProxyType(
    {Priority.INTERACTIVE: 16.0, Priority.STANDARD: 4.0, Priority.BATCH: 1.0}
)


class Ticket(NamedTuple):
    """One request for a permit.

    `prompt_guess` is the prompt's length in tokens as far as it can be told before rendering, on one scale for all
    requests (bytes of text divided by a constant will do: the queue learns by how much the guesses are off).
    `max_completion_tokens` bounds the completion; `sequences` is how many completions run at once (n, or several
    prompts). `deadline` is the last instant, on the queue's clock, at which a permit is still of use; `by_default`: the service
    set it, not the client. `key_limit`:
    requests of this key that may be waiting and running. `attempt`: how often the client says it has sent this request
    before; a first attempt (0) claims no promise, a repeated one that comes early is told its promise again. None: it does
    not say.
    """

    tenant: str
    key: str
    prompt_guess: int
    max_completion_tokens: int
    priority: Priority = Priority.STANDARD
    weight: float = 1.0
    tier: str = "default"
    sequences: int = 1
    deadline: float | None = None
    by_default: bool = False
    key_limit: int | None = None
    attempt: int | None = None

    @property
    def claim(self) -> tuple[str, int, int]:
        """By what a request is known again when it comes back."""
        return self.key, self.prompt_guess, self.max_completion_tokens


class Capacity(NamedTuple):
    """What may run at once: sequences, and prompt tokens that no engine has prefilled yet. The latter may be overshot by one
    request. `engines`: by how many it is run.
    """

    sequences: int
    prefill_tokens: int
    engines: int = 1


@dataclass(frozen=True)
class Policy:
    """Bounds of the queue and shares of the classes. `tenant_share` and `reserve` are fractions in (0, 1) and [0, 1).

    `reserve` of the capacity is kept for tenants that run less than their share, batch work excepted: they start at once while
    another tenant's flood waits. A tenant alone fills the engines up to the reserve.

    While no engine is there, a deadline by default does not run, for `wake_s` seconds at most.
    """

    max_requests: int = 1024
    max_tokens: int = 2_000_000
    tenant_share: float = 0.5
    reserve: float = 0.2
    shares: Mapping[Priority, float] = field(default_factory=lambda: DEFAULT_SHARES)
    retry_max_s: int = 300
    wake_s: float = 0.0


class Reason(StrEnum):
    """Why a request was refused. The first two are the tenant's doing, the others the service's state."""

    KEY_CONCURRENCY = "key_concurrency"
    TENANT_QUEUE = "tenant_queue"
    QUEUE_FULL = "queue_full"
    DEADLINE_UNREACHABLE = "deadline_unreachable"
    DEADLINE_EXPIRED = "deadline_expired"

    @property
    def by_tenant(self) -> bool:
        return self in (Reason.KEY_CONCURRENCY, Reason.TENANT_QUEUE)


_WORDS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.KEY_CONCURRENCY: "This key already has as many requests in progress as it may have.",
        Reason.TENANT_QUEUE: "Your requests already hold your share of the waiting queue.",
        Reason.QUEUE_FULL: "The waiting queue is full.",
        Reason.DEADLINE_UNREACHABLE: "The request could not start before its deadline.",
        Reason.DEADLINE_EXPIRED: "The request's deadline passed while it waited.",
    }
)


class Refusal(NamedTuple):
    """A request that gets no permit. Room is kept for it in `retry_after_s` whole seconds."""

    reason: Reason
    retry_after_s: int

    @property
    def message(self) -> str:
        return f"{_WORDS[self.reason]} Try again in {self.retry_after_s} s."

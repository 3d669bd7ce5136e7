"""What a request brings to admission: a ticket, made of who asks, what for and what its headers wish; and a refusal's HTTP face.

Headers: `x-sluice-priority` (a class, never above the tier's highest), `x-sluice-deadline-ms` (milliseconds from arrival until
which it must have started), and `x-stainless-retry-count`, by which OpenAI's and Anthropic's clients tell their attempts. A refusal
names its reason in `x-sluice-reason`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gateway.admission.ticket import Priority, Reason, Ticket
from gateway.config.work import Tier
from gateway.errors import (
    DeadlineExpired,
    DeadlineUnreachable,
    InvalidRequest,
    KeyBusy,
    QueueFull,
    SluiceError,
    TenantQueueFull,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.admission.ticket import Refusal
    from gateway.config.work import Admission
    from gateway.http.asgi import Headers
    from gateway.http.door import Caller
    from gateway.http.surface import Admitted

PRIORITY: Final = b"x-sluice-priority"
DEADLINE: Final = b"x-sluice-deadline-ms"
ATTEMPT: Final = b"x-stainless-retry-count"
LENGTH: Final = b"content-length"
REASON: Final = "x-sluice-reason"
READ: Final = frozenset({PRIORITY, DEADLINE, ATTEMPT, LENGTH})
LIMITS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
BYTES_PER_TOKEN: Final = 4
MOST_DIGITS: Final = 9
ERRORS: Final[Mapping[Reason, type[SluiceError]]] = MappingProxyType(
    {
        Reason.KEY_CONCURRENCY: KeyBusy,
        Reason.TENANT_QUEUE: TenantQueueFull,
        Reason.QUEUE_FULL: QueueFull,
        Reason.DEADLINE_UNREACHABLE: DeadlineUnreachable,
        Reason.DEADLINE_EXPIRED: DeadlineExpired,
    }
)


class _Terms(NamedTuple):
    """What a tier's keys get. `classes`: the class that each word of the header stands for; empty: the default."""

    weight: float
    key_limit: int | None
    classes: Mapping[bytes, Priority]


class Tickets:
    """Issues the tickets of one gateway; its tables are made once, from the configuration."""

    def __init__(self, settings: Admission) -> None:
        self._deadline_s = settings.deadline_s
        self._weights = settings.tenants
        self._default = _terms(settings, Tier())
        self._tiers = {name: _terms(settings, tier) for name, tier in settings.tiers.items()}

    def issue(
        self, caller: Caller, headers: Headers, admitted: Admitted, max_model_len: int, now: float, widest: int = 0
    ) -> Ticket:
        """`now` is the queue's clock. Raises InvalidRequest naming a header that cannot be understood, or what makes more sequences
        than the `widest` request may have (0: no bound).
        """
        if 0 < widest < admitted.sequences:
            raise InvalidRequest(
                f"The number of prompts times 'n' must be at most {widest} for this model; here it is {admitted.sequences}.",
                param="n" if "n" in admitted.body else "prompt",
            )
        told: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in READ:
                told.setdefault(name, value)
        terms = self._tiers.get(caller.tier, self._default)
        priority = terms.classes.get(told.get(PRIORITY, b"").lower())
        if priority is None:
            names = ", ".join(Priority)
            raise InvalidRequest(f"The header '{PRIORITY.decode()}' must be one of: {names}.", param=PRIORITY.decode())
        attempt = told.get(ATTEMPT, b"")
        return Ticket(
            tenant=caller.tenant,
            key=caller.key_id,
            prompt_guess=_size(told, admitted) // BYTES_PER_TOKEN,
            max_completion_tokens=_limit(admitted.body, max_model_len),
            priority=priority,
            weight=self._weights.get(caller.tenant, terms.weight),
            tier=caller.tier,
            sequences=admitted.sequences,
            deadline=self._deadline(told.get(DEADLINE), now),
            by_default=DEADLINE not in told,
            key_limit=terms.key_limit,
            attempt=int(attempt) if _is_number(attempt) else None,
        )

    def _deadline(self, told: bytes | None, now: float) -> float | None:
        if told is None:
            return None if self._deadline_s is None else now + self._deadline_s
        if not _is_number(told) or int(told) == 0:
            name = DEADLINE.decode()
            raise InvalidRequest(
                f"The header '{name}' must be a whole number of milliseconds, from 1 to {10**MOST_DIGITS - 1}.",
                param=name,
            )
        return now + int(told) / 1000


def refused(refusal: Refusal) -> SluiceError:
    """The error that tells a client so."""
    error = ERRORS[refusal.reason]
    return error(refusal.message, retry_after=refusal.retry_after_s, headers=[(REASON, refusal.reason.value)])


def _terms(settings: Admission, tier: Tier) -> _Terms:
    order = tuple(Priority)
    best = order.index(Priority(tier.highest))
    classes = {priority.encode(): order[max(best, place)] for place, priority in enumerate(order)}
    classes[b""] = classes[settings.default_priority.encode()]
    return _Terms(tier.weight, tier.key_concurrency or settings.key_concurrency, classes)


def _is_number(value: bytes) -> bool:
    return value.isdigit() and len(value) <= MOST_DIGITS


def _size(told: Mapping[bytes, bytes], admitted: Admitted) -> int:
    """Bytes of the body; one sent in chunks is measured by what became of it."""
    length = told.get(LENGTH, b"")
    return int(length) if _is_number(length) else len(msgspec.json.encode(admitted.body))


def named_limit(body: Mapping[str, object]) -> int | None:
    """The most tokens of one choice, if the request says so."""
    return next((limit for name in LIMITS if type(limit := body.get(name)) is int), None)


def _limit(body: Mapping[str, object], max_model_len: int) -> int:
    limit = named_limit(body)
    return max_model_len if limit is None else min(limit, max_model_len)

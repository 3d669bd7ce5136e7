"""Every error Sluice raises on purpose, and the one table that gives each its HTTP face.

SluiceError
├── HttpError                      a client sees it; its face is in FACES
│   ├── InvalidRequest             400
│   │   ├── MalformedJson          400
│   │   ├── UnknownField           400
│   │   ├── UnsupportedValue       400
│   │   ├── ContextTooLong         400
│   │   └── LogprobsWithConstraint 400
│   ├── Unauthenticated            401
│   │   └── KeyExpired             401
│   ├── PermissionDenied           403
│   │   ├── VerificationRequired   403
│   │   ├── Quarantined            403
│   │   └── LeakBudgetSpent        403
│   ├── UnknownRoute               404
│   ├── ModelNotFound              404
│   ├── MethodNotAllowed           405
│   ├── RequestTimeout             408
│   ├── BodyTooLarge               413
│   ├── UnsupportedMediaType       415
│   ├── RateLimited                429
│   │   ├── QuotaExhausted         429
│   │   ├── KeyBusy                429
│   │   └── TenantQueueFull        429
│   ├── Unavailable                503, and always a Retry-After
│   │   ├── Overloaded
│   │   │   ├── QueueFull
│   │   │   ├── DeadlineUnreachable
│   │   │   └── DeadlineExpired
│   │   ├── ShuttingDown
│   │   ├── NoEngine
│   │   ├── LeakBudgetUnknown
│   │   └── EngineLost
│   ├── EnginePoisoned             500
│   └── Internal                   500
└── OperatorError                  never reaches a client; FACES shows it as Internal
    ├── ConfigError
    └── KeyStoreError
        └── UnknownKeyId

A mechanism raises; it knows no status. The edge asks `face_of`, and renders.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_RETRY_AFTER: Final = 1.0


class SluiceError(Exception):
    """Root of the tree; `message` is fit to be shown to whoever receives the error."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.headers = tuple(headers)


class HttpError(SluiceError):
    """What ends one HTTP request."""


class InvalidRequest(HttpError):
    """The request can never succeed as it is written; `param` names the field to mend."""


class MalformedJson(InvalidRequest):
    """The body is not JSON, or not a JSON object."""


class UnknownField(InvalidRequest):
    """A field that is not on the route's allow-list; `param` is its dotted path."""


class UnsupportedValue(InvalidRequest):
    """A kind of thing, or an amount, that the route's allow-list does not have; `param` is its dotted path."""


class ContextTooLong(InvalidRequest):
    """Prompt, or prompt and completion together, exceed the model's context."""


class LogprobsWithConstraint(InvalidRequest):
    """Logprobs together with what chooses the tokens they are told of."""


class Unauthenticated(HttpError):
    """No key, or a key that is not known: the message never says which half of it was wrong."""


class KeyExpired(Unauthenticated):
    """The right secret of a key whose time is over."""


class PermissionDenied(HttpError):
    """A known key without the scope that the route needs."""


class VerificationRequired(PermissionDenied):
    """The guard holds the key back until the operator has spoken with its owner."""


class Quarantined(PermissionDenied):
    """The guard has shut the key out."""


class LeakBudgetSpent(PermissionDenied):
    """What this account may be given of the model's inside, it has been given; nothing refills that."""


class UnknownRoute(HttpError):
    """A path that is not on the route allow-list."""


class ModelNotFound(HttpError):
    """A model that is not served, or not to this tenant."""


class MethodNotAllowed(HttpError):
    """A known path with another method; `headers` carries Allow."""


class RequestTimeout(HttpError):
    """The client did not finish sending its request in time."""


class BodyTooLarge(HttpError):
    """The body exceeds the size limit."""


class UnsupportedMediaType(HttpError):
    """The body is not application/json."""


class RateLimited(HttpError):
    """A request window, token budget or leak budget of this key or tenant is used up."""


class QuotaExhausted(RateLimited):
    """A budget that never refills is used up: no retry helps."""


class KeyBusy(RateLimited):
    """The key has as many requests waiting and running as it may have."""


class TenantQueueFull(RateLimited):
    """The tenant's requests hold its share of the waiting queue."""


class Unavailable(HttpError):
    """Nothing is wrong with the request, and the same request may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float = DEFAULT_RETRY_AFTER,
        headers: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after, headers=headers)


class Overloaded(Unavailable):
    """There is more work than the engines can take."""


class QueueFull(Overloaded):
    """The waiting queue has no room, and the tenant is not the cause."""


class DeadlineUnreachable(Overloaded):
    """The request could not start before its deadline, so it need not wait for it."""


class DeadlineExpired(Overloaded):
    """The deadline passed while the request waited."""


class ShuttingDown(Unavailable):
    """This gateway takes no new requests any more."""


class NoEngine(Unavailable):
    """No engine is known that could take the request."""


class LeakBudgetUnknown(Unavailable):
    """The store of leak budgets does not answer, and they are never guessed."""


class EngineLost(Unavailable):
    """The engine went away in mid-request, and no other could take over."""


class EnginePoisoned(HttpError):
    """Engines died while they served this request, more than one: it is taken for the cause."""


class Internal(HttpError):
    """A fault of ours; the message tells nothing of its cause."""


class OperatorError(SluiceError):
    """An error for whoever runs Sluice; it never reaches a client."""


class ConfigError(OperatorError):
    """A configuration that stops the start, told by file and key."""

    def __init__(self, path: str | None, key: str | None, message: str) -> None:
        super().__init__(": ".join(part for part in (path, key, message) if part))
        self.path = path
        self.key = key


class KeyStoreError(OperatorError):
    """The key file cannot be read, understood or written."""


class UnknownKeyId(KeyStoreError):
    """No key with this id is in the store."""


class Face(NamedTuple):
    """How one class of error looks over HTTP; `retryable` says that the same request may succeed later."""

    status: int
    type: str
    code: str | None
    retryable: bool


FACES: Final[Mapping[type[SluiceError], Face]] = MappingProxyType(
    {
        InvalidRequest: Face(400, "invalid_request_error", None, retryable=False),
        MalformedJson: Face(400, "invalid_request_error", "malformed_json", retryable=False),
        UnknownField: Face(400, "invalid_request_error", "unknown_parameter", retryable=False),
        UnsupportedValue: Face(400, "invalid_request_error", "unsupported_value", retryable=False),
        ContextTooLong: Face(400, "invalid_request_error", "context_length_exceeded", retryable=False),
        LogprobsWithConstraint: Face(400, "invalid_request_error", "logprobs_with_constraint", retryable=False),
        Unauthenticated: Face(401, "authentication_error", "invalid_api_key", retryable=False),
        KeyExpired: Face(401, "authentication_error", "expired_api_key", retryable=False),
        PermissionDenied: Face(403, "permission_error", "insufficient_scope", retryable=False),
        VerificationRequired: Face(403, "permission_error", "verification_required", retryable=False),
        Quarantined: Face(403, "permission_error", "quarantined", retryable=False),
        LeakBudgetSpent: Face(403, "permission_error", "leak_budget_spent", retryable=False),
        UnknownRoute: Face(404, "invalid_request_error", "unknown_url", retryable=False),
        ModelNotFound: Face(404, "invalid_request_error", "model_not_found", retryable=False),
        MethodNotAllowed: Face(405, "invalid_request_error", "method_not_allowed", retryable=False),
        RequestTimeout: Face(408, "invalid_request_error", "request_timeout", retryable=True),
        BodyTooLarge: Face(413, "invalid_request_error", "request_too_large", retryable=False),
        UnsupportedMediaType: Face(415, "invalid_request_error", "unsupported_media_type", retryable=False),
        RateLimited: Face(429, "rate_limit_error", "rate_limit_exceeded", retryable=True),
        QuotaExhausted: Face(429, "insufficient_quota", "insufficient_quota", retryable=False),
        KeyBusy: Face(429, "rate_limit_error", "key_concurrency", retryable=True),
        TenantQueueFull: Face(429, "rate_limit_error", "tenant_queue", retryable=True),
        Unavailable: Face(503, "server_error", "service_unavailable", retryable=True),
        Overloaded: Face(503, "server_error", "overloaded", retryable=True),
        QueueFull: Face(503, "server_error", "queue_full", retryable=True),
        DeadlineUnreachable: Face(503, "server_error", "deadline_unreachable", retryable=True),
        DeadlineExpired: Face(503, "server_error", "deadline_expired", retryable=True),
        ShuttingDown: Face(503, "server_error", "shutting_down", retryable=True),
        NoEngine: Face(503, "server_error", "engine_unavailable", retryable=True),
        LeakBudgetUnknown: Face(503, "server_error", "leak_budget_unknown", retryable=True),
        EngineLost: Face(503, "server_error", "engine_lost", retryable=True),
        EnginePoisoned: Face(500, "server_error", "engine_poisoned", retryable=False),
        Internal: Face(500, "server_error", "internal_error", retryable=False),
    }
)


def face_of(err: SluiceError) -> Face:
    """Face of the nearest class in the table; what has none is shown as Internal."""
    for cls in type(err).__mro__:
        if (face := FACES.get(cls)) is not None:
            return face
    return FACES[Internal]

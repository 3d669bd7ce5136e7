"""Which errors are security decisions, and what the audit trail keeps of them: never a word of the request."""

from typing import Final

from gateway.audit.record import Event
from gateway.errors import (
    HttpError,
    Overloaded,
    PermissionDenied,
    RateLimited,
    SluiceError,
    Unauthenticated,
    UnknownField,
    face_of,
)
from gateway.http.metering import Meter
from gateway.http.surface import ROUTES
from gateway.http.tickets import REASON

REFUSALS: Final[tuple[type[HttpError], ...]] = (PermissionDenied, RateLimited, Overloaded, UnknownField)


def decision(err: SluiceError, path: str, meter: Meter) -> tuple[Event, dict[str, object]] | None:
    """The event and its fields; None if nobody decided anything. A refusal of the limits themselves bears a reason."""
    reason = next((value for name, value in err.headers if name == REASON), None)
    if isinstance(err, Unauthenticated):
        event = Event.AUTH_FAILED
    elif reason is not None or isinstance(err, REFUSALS):
        event = Event.REQUEST_REFUSED
    else:
        return None
    face = face_of(err)
    return event, {
        "status": face.status,
        "code": face.code,
        "reason": reason,
        "route": path if path in ROUTES else "other",
        "key": meter.subject.key or None,
        "tenant": meter.subject.tenant or None,
        "address": meter.address,
    }

"""Which errors are security decisions, and what the audit trail keeps of them: never a word of the request."""

from typing import Final, NamedTuple, Protocol

from gateway.audit.record import Event
from gateway.errors import (
    HttpError,
    Overloaded,
    PermissionDenied,
    RateLimited,
    SluiceError,
    Unauthenticated,
    UnknownField,
    UnsupportedValue,
    face_of,
)
from gateway.http.surface import ROUTES
from gateway.http.tickets import REASON
from gateway.limits.policy import Subject

REFUSALS: Final[tuple[type[HttpError], ...]] = (
    PermissionDenied,
    RateLimited,
    Overloaded,
    UnknownField,
    UnsupportedValue,
)
MANAGEMENT, CONSOLE = "management", "console"
KNOWN: Final = frozenset({*ROUTES, MANAGEMENT, CONSOLE})


class Asker(Protocol):
    """Who asked, as far as it is known; the address is only looked for if something is decided."""

    @property
    def subject(self) -> Subject: ...
    @property
    def address(self) -> str | None: ...


class Visitor(NamedTuple):
    """Somebody at another port than the API's."""

    subject: Subject
    address: str | None


def decision(err: SluiceError, path: str, asker: Asker) -> tuple[Event, dict[str, object]] | None:
    """The event and its fields; None if nobody decided anything. A refusal of the limits themselves bears a reason."""
    reason = next((value for name, value in err.headers if name == REASON), None)
    if isinstance(err, Unauthenticated):
        event = Event.AUTH_FAILED
    elif reason is not None or isinstance(err, REFUSALS):
        event = Event.REQUEST_REFUSED
    else:
        return None
    face = face_of(err)
    return event, {"status": face.status, "code": face.code, "reason": reason} | _about(path, asker)


def cut(reason: str, path: str, asker: Asker) -> tuple[Event, dict[str, object]]:
    """The same for an answer that a limit ended on its way."""
    return Event.REQUEST_CUT, {"reason": reason} | _about(path, asker)


def _about(path: str, asker: Asker) -> dict[str, object]:
    return {
        "route": path if path in KNOWN else "other",
        "key": asker.subject.key or None,
        "tenant": asker.subject.tenant or None,
        "address": asker.address,
    }

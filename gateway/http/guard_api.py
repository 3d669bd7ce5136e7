"""What an operator may ask of the guard at the management port, and tell it.

GET  /guard                 who is flagged, what has been given of each model, what the settings are
GET  /guard/KEY             why a key is at its level: every feature, its points and what is usual
POST /guard/KEY/release     forgets what was seen of the key
"""

import asyncio
from typing import Any, Final, Protocol
from urllib.parse import unquote

from gateway.errors import MethodNotAllowed, UnknownRoute

UNKNOWN: Final = "Nothing has been seen of this key since this gateway's start."


class Desk(Protocol):
    """The guard, as far as an operator speaks with it. `explain` and `release` may block for some milliseconds."""

    def status(self) -> dict[str, Any]: ...
    def explain(self, key: str) -> dict[str, Any] | None: ...
    def release(self, key: str) -> str | None: ...


class GuardApi:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def answer(self, method: str, path: str) -> dict[str, Any]:
        """`path` as it was sent, percent-encoded: an account's name may have a slash in it. Raises UnknownRoute for a key that
        nothing is known of.
        """
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["guard"]:
                return self._desk.status()
            case ["guard", key]:
                found = await asyncio.to_thread(self._desk.explain, key)
                if found is None:
                    raise UnknownRoute(UNKNOWN)
                return found
            case ["guard", key, "release"]:
                if method != "POST":
                    raise MethodNotAllowed("Releasing takes POST.", headers=(("Allow", "POST"),))
                before = await asyncio.to_thread(self._desk.release, key)
                if before is None:
                    raise UnknownRoute(UNKNOWN)
                return {"key": key, "before": before}
        raise UnknownRoute("The guard serves /guard, /guard/KEY and /guard/KEY/release.")

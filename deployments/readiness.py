"""Until what was deployed serves: what happens meanwhile is told, and what cannot come right by itself ends the waiting."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from deployments.preflight import StartError

POLL_S = 0.25
FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
NO_ROOM = "to be scheduled"
"""In what Serve says of replicas that find no slot or GPU, for as long as that lasts."""


class Readiness:
    """`application` asks Serve for the application's status, None if it cannot be told now; `say` takes one line."""

    def __init__(self, application: Callable[[], Awaitable[Any]], say: Callable[[str], None]) -> None:
        self._application, self._say = application, say
        self._shown: dict[str, str] = {}

    async def running(self) -> None:
        """Until Serve calls the application running. Raises StartError once Serve says that it has failed."""
        while True:
            application = await self._application()
            if application is not None:
                self._show(application)
                _raise_if_failed(application)
                if application.status == "RUNNING":
                    return
            await asyncio.sleep(POLL_S)

    async def ready(self, gateways: int, management: Callable[[], list[str]], client: httpx.AsyncClient) -> None:
        """Until so many gateways have an engine for each model. Raises StartError if one says that it never will: Serve starts
        others in its place, and they would say the same.
        """
        while True:
            replies = [reply for url in management() if (reply := await _ask(client, f"{url}/readyz")) is not None]
            if len(replies) >= gateways and all(reply["status"] == "ok" for reply in replies):
                return
            self._tell("waiting", "; ".join(reason for reply in replies for reason in reply["reasons"]))
            for url in management():
                if (live := await _ask(client, f"{url}/livez")) is not None and live["status"] != "ok":
                    raise _failed(live["reasons"])
            if (application := await self._application()) is not None:
                self._show(application)
                _raise_if_failed(application)
            await asyncio.sleep(POLL_S)

    def _show(self, application: Any) -> None:
        for name, deployment in application.deployments.items():
            states = ", ".join(f"{count} {state.lower()}" for state, count in deployment.replica_states.items())
            self._tell(name, states)
            if NO_ROOM in deployment.message:
                self._tell("waiting", deployment.message)

    def _tell(self, what: str, news: str) -> None:
        """Once, until there is other news."""
        if news and self._shown.get(what) != news:
            self._shown[what] = news
            self._say(f"{what}: {news}")


def unhealthy(application: Any) -> dict[str, str]:
    """What Serve says of deployments that are unhealthy or failed, by name."""
    return {
        name: one.message or one.status.lower() for name, one in application.deployments.items() if one.status in FAILED
    }


def _raise_if_failed(application: Any) -> None:
    if application.status in FAILED:
        reasons = [d.message for d in application.deployments.values() if d.message] or [application.message]
        raise _failed(reasons)


def _failed(reasons: list[str]) -> StartError:
    return StartError("What was deployed does not come up:\n" + "\n".join(reasons))


async def _ask(client: httpx.AsyncClient, url: str) -> dict[str, Any] | None:
    with contextlib.suppress(httpx.HTTPError, ValueError):
        reply: dict[str, Any] = (await client.get(url)).json()
        return reply
    return None

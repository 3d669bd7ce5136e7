"""The allow-lists at work: which routes exist, and a fresh body made only of fields that the tables allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import MalformedJson, MethodNotAllowed, UnknownRoute
from gateway.http.surface_anthropic import MESSAGES
from gateway.http.surface_checks import Obj, SurfacePolicy, Walk
from gateway.http.surface_openai import CHAT, COMPLETIONS
from gateway.http.surface_responses import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.http.envelope import Dialect, Events

__all__ = [
    "ROUTES",
    "Admitted",
    "Route",
    "SurfacePolicy",
    "admit",
    "admit_anything",
    "match",
    "prompts_of",
    "sequences_of",
]

Scope = Literal["inference", "models"]
_MODEL_PREFIX: Final = "/v1/models/"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path; `item` is the model's name where the path ends in one."""

    method: str
    path: str
    dialect: Dialect
    events: Events
    scope: Scope
    item: str | None = None


ROUTES: Final[Mapping[str, Route]] = {
    route.path: route
    for route in (
        Route("POST", "/v1/chat/completions", "openai", "chat", "inference"),
        Route("POST", "/v1/completions", "openai", "chat", "inference"),
        Route("POST", "/v1/responses", "openai", "responses", "inference"),
        Route("POST", "/v1/messages", "anthropic", "messages", "inference"),
        Route("GET", "/v1/models", "openai", "chat", "models"),
    )
}
TABLES: Final[Mapping[str, Obj]] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """A body fit for the engine; `sequences` is how many generations it starts: n times the prompts."""

    body: dict[str, object]
    dropped: tuple[str, ...]
    sequences: int


def match(method: str, path: str) -> Route:
    """The route, by exact path; raises UnknownRoute, or MethodNotAllowed with an Allow header."""
    route = ROUTES.get(path)
    if route is None:
        item = path.removeprefix(_MODEL_PREFIX)
        if item in ("", path):
            raise UnknownRoute("Unknown request URL.")
        route = Route("GET", "/v1/models/{id}", "openai", "chat", "models", item)
    if method != route.method:
        raise MethodNotAllowed(f"This URL takes {route.method} only.", headers=(("Allow", route.method),))
    return route


def admit(route: Route, body: object, policy: SurfacePolicy) -> Admitted:
    """Rebuild a parsed JSON body from the fields that the route's table allows; raises InvalidRequests.

    Nulls are the same as absent fields. `dropped` names what was left out without an error, at most
    MAX_RECORDED paths. The body may be changed by the caller: no part of it is shared with the input.
    """
    if type(body) is not dict:
        raise MalformedJson("The request body must be a JSON object.")
    walk = Walk(policy)
    admitted = TABLES[route.path](body, None, walk)
    if route.path == "/v1/responses":
        admitted["store"] = False
    return Admitted(admitted, tuple(walk.dropped), sequences_of(admitted))


def admit_anything(_route: Route, body: object, _policy: SurfacePolicy) -> Admitted:
    """`unsafe_open_surface`: the body as it is, for a red team that must be able to win."""
    if type(body) is not dict:
        raise MalformedJson("The request body must be a JSON object.")
    return Admitted(body, (), sequences_of(body))


def sequences_of(body: Mapping[str, object]) -> int:
    prompts, n = len(prompts_of(body)), body.get("n", 1)
    return prompts * n if type(n) is int else prompts


def prompts_of(body: Mapping[str, object]) -> list[object]:
    """Those of a list, or the one that there is: text or token ids, None on routes that take messages."""
    prompt = body.get("prompt")
    return prompt if type(prompt) is list and prompt and type(prompt[0]) is not int else [prompt]

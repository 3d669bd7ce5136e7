"""Routes: an allow-list by exact path and method."""

import pytest

from gateway.errors import MethodNotAllowed, UnknownRoute
from gateway.http.surface import ROUTES, match


@pytest.mark.parametrize("path", [path for path, route in ROUTES.items() if route.method == "POST"])
def test_inference_is_posted(path: str) -> None:
    route = match("POST", path)
    assert (route.path, route.scope, route.item) == (path, "inference", None)


def test_only_messages_speaks_anthropics_dialect() -> None:
    assert {path for path, route in ROUTES.items() if route.dialect == "anthropic"} == {"/v1/messages"}


def test_models_are_read_and_their_names_may_hold_slashes() -> None:
    assert match("GET", "/v1/models").item is None
    route = match("GET", "/v1/models/org/name")
    assert (route.item, route.scope) == ("org/name", "models")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1/models/",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/chat/completions/render",
        "/v1/chat/completions/batch",
        "/V1/completions",
        "/tokenize",
        "/inference/v1/generate",
        "/v1/responses/resp_1",
        "/v1/messages/count_tokens",
        "/metrics",
    ],
)
def test_what_is_not_listed_does_not_exist(path: str) -> None:
    with pytest.raises(UnknownRoute):
        match("POST", path)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/v1/chat/completions", "POST"), ("POST", "/v1/models", "GET"), ("PUT", "/v1/models/m", "GET")],
)
def test_another_method_is_told_which_one_is_allowed(method: str, path: str, allow: str) -> None:
    with pytest.raises(MethodNotAllowed) as caught:
        match(method, path)
    assert caught.value.headers == (("Allow", allow),)

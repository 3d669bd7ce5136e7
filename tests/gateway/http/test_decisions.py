"""Which refusals are security decisions: what is not on an allow-list is one, what is only malformed is none."""

from typing import Any

import pytest

from gateway.audit.record import Event
from gateway.errors import InvalidRequest
from gateway.http.decisions import Visitor, decision
from gateway.http.surface import ROUTES, SurfacePolicy, admit
from gateway.limits.policy import Subject

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
ASKER = Visitor(Subject("k", "t"), None)


def refused(path: str, body: dict[str, Any]) -> tuple[Event, dict[str, object]] | None:
    with pytest.raises(InvalidRequest) as caught:
        admit(ROUTES[path], body, SurfacePolicy())
    return decision(caught.value, path, ASKER)


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (CHAT, {"cache_salt": "x"}, "unknown_parameter"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "unsupported_value"),
        (MESSAGES, {"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "unsupported_value"),
        (RESPONSES, {"tools": [{"type": "web_search"}]}, "unsupported_value"),
        (CHAT, {"n": 9}, "unsupported_value"),
        (CHAT, {"n": -1}, "unsupported_value"),
        (CHAT, {"top_logprobs": 6}, "unsupported_value"),
        (COMPLETIONS, {"logprobs": -1}, "unsupported_value"),
        (CHAT, {"logit_bias": {str(token): 1 for token in range(17)}}, "unsupported_value"),
        (COMPLETIONS, {"prompt": ["x"] * 17}, "unsupported_value"),
        (COMPLETIONS, {"structured_outputs": {"regex": "a" * 16_385}}, "unsupported_value"),
    ],
)
def test_what_is_not_on_an_allow_list_is_a_decision_that_is_recorded(
    path: str, body: dict[str, Any], code: str
) -> None:
    found = refused(path, body)
    assert found is not None
    event, fields = found
    assert event is Event.REQUEST_REFUSED
    assert (fields["status"], fields["code"], fields["key"], fields["route"]) == (400, code, "k", path)


@pytest.mark.parametrize("body", [{"n": "two"}, {"temperature": "hot"}, {"messages": 5}, {"top_logprobs": 1.5}])
def test_what_is_only_malformed_is_nobodys_decision(body: dict[str, Any]) -> None:
    assert refused(CHAT, body) is None

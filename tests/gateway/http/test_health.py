"""What is told of a gateway's health, and to whom."""

import json
from typing import Any

from gateway.http.health import Health

FAILING = Health(
    lambda: ["no engine for model m"], lambda: ["a task failed: OSError('/srv/x')"], lambda: ["redis at h:6379"]
)
WARNING = Health(list, list, lambda: ["redis at h:6379"])


def told(health: Health, path: str, *, public: bool) -> tuple[int, dict[str, Any]]:
    status, body = health.answer(path, public=public)
    return status, json.loads(body)


def test_an_operator_hears_what_failed_and_what_is_served_in_spite_of() -> None:
    failed, missing = "a task failed: OSError('/srv/x')", "no engine for model m"
    assert told(FAILING, "/livez", public=False) == (503, {"status": "unavailable", "reasons": [failed]})
    assert told(FAILING, "/readyz", public=False) == (
        503,
        {"status": "unavailable", "reasons": [failed, missing], "warnings": ["redis at h:6379"]},
    )


def test_whoever_has_no_key_hears_of_no_host_and_no_folder() -> None:
    for path, reasons in (("/livez", []), ("/readyz", ["no engine for model m"])):
        status, body = told(FAILING, path, public=True)
        assert (status, body) == (503, {"status": "unavailable", "reasons": ["this gateway has failed", *reasons]})
    assert told(WARNING, "/readyz", public=True) == (200, {"status": "ok", "reasons": []})

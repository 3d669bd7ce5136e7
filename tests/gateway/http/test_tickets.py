"""What a request brings to admission, and the face of each refusal."""

import json
from typing import Any

import pytest

from gateway.admission.ticket import Priority, Reason, Refusal, Ticket
from gateway.auth.keys import Principal
from gateway.config.work import Admission
from gateway.errors import InvalidRequest, SluiceError, face_of
from gateway.http import envelope
from gateway.http.surface import Admitted
from gateway.http.tickets import Tickets, refused

NOW = 1000.0
CONTEXT = 2048
SETTINGS = Admission.model_validate(
    {
        "key_concurrency": 7,
        "tiers": {
            "gold": {"weight": 4, "key_concurrency": 50, "highest": "interactive"},
            "cheap": {"weight": 0.5, "highest": "batch"},
            "plain": {"highest": "standard"},
        },
        "tenants": {"vip": 9},
    }
)


def issue(
    body: dict[str, Any] | None = None,
    tenant: str = "t",
    tier: str = "unheard-of",
    settings: Admission = SETTINGS,
    sequences: int = 1,
    widest: int = 0,
    **headers: str,
) -> Ticket:
    asked = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    caller = Principal("k", tenant, tier, frozenset())
    return Tickets(settings).issue(caller, asked, Admitted(body or {}, (), sequences), CONTEXT, NOW, widest)


@pytest.mark.parametrize(("body", "named"), [({"n": 3}, "n"), ({"prompt": ["a", "b", "c"]}, "prompt")])
def test_a_request_wider_than_any_may_be_is_told_how_wide(body: dict[str, Any], named: str) -> None:
    assert issue(body, sequences=3, widest=3).sequences == issue(body, sequences=3).sequences == 3
    with pytest.raises(InvalidRequest, match="at most 2 for this model; here it is 3") as refusal:
        issue(body, sequences=3, widest=2)
    assert refusal.value.param == named


def test_a_request_that_says_nothing_gets_what_the_configuration_says() -> None:
    assert issue(content_length="400") == Ticket(
        tenant="t",
        key="k",
        prompt_guess=100,
        max_completion_tokens=CONTEXT,
        priority=Priority.STANDARD,
        weight=1.0,
        tier="unheard-of",
        sequences=1,
        deadline=NOW + 60,
        by_default=True,
        key_limit=7,
        attempt=None,
    )


def test_a_tier_has_its_own_weight_and_key_limit() -> None:
    gold, cheap = issue(tier="gold"), issue(tier="cheap")
    assert (gold.weight, gold.key_limit) == (4, 50)
    assert (cheap.weight, cheap.key_limit) == (0.5, 7)


def test_a_tenants_own_weight_goes_before_its_tiers() -> None:
    assert issue(tenant="vip", tier="cheap").weight == 9


@pytest.mark.parametrize(
    ("tier", "asked", "given"),
    [
        ("gold", "interactive", "interactive"),
        ("gold", "BATCH", "batch"),
        ("gold", None, "standard"),
        ("plain", "interactive", "standard"),
        ("plain", "batch", "batch"),
        ("cheap", "interactive", "batch"),
        ("cheap", None, "batch"),
    ],
)
def test_a_request_may_lower_its_priority_below_its_tiers_highest(tier: str, asked: str | None, given: str) -> None:
    headers = {} if asked is None else {"x_sluice_priority": asked}
    assert issue(tier=tier, **headers).priority == given


@pytest.mark.parametrize("value", ["urgent", " ", "0", "standard,batch"])
def test_a_priority_that_does_not_exist_is_refused_by_the_headers_name(value: str) -> None:
    with pytest.raises(InvalidRequest, match="interactive, standard, batch") as caught:
        issue(x_sluice_priority=value)
    assert caught.value.param == "x-sluice-priority"


def test_a_deadline_counts_from_now() -> None:
    assert issue(x_sluice_deadline_ms="1500").deadline == NOW + 1.5


def test_without_deadlines_in_configuration_and_request_there_is_none() -> None:
    assert issue(settings=Admission(deadline_s=None)).deadline is None


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", "soon", "9" * 10, "٣"])
def test_a_deadline_that_is_no_positive_number_is_refused_by_the_headers_name(value: str) -> None:
    with pytest.raises(InvalidRequest, match="whole number of milliseconds") as caught:
        issue(x_sluice_deadline_ms=value)
    assert caught.value.param == "x-sluice-deadline-ms"


@pytest.mark.parametrize(("told", "attempt"), [("0", 0), ("3", 3), ("-1", None), ("x", None), ("9" * 30, None)])
def test_an_attempt_that_cannot_be_read_is_none_told(told: str, attempt: int | None) -> None:
    assert issue(x_stainless_retry_count=told).attempt == attempt


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_each_dialects_limit_bounds_the_completion(field: str) -> None:
    assert issue({field: 40}).max_completion_tokens == 40
    assert issue({field: 10**9}).max_completion_tokens == CONTEXT


def test_of_two_limits_chats_newer_one_counts() -> None:
    assert issue({"max_tokens": 9, "max_completion_tokens": 5}).max_completion_tokens == 5


def test_a_body_sent_in_chunks_is_measured_all_the_same() -> None:
    body = {"messages": [{"role": "user", "content": "x" * 4000}]}
    assert issue(body).prompt_guess == pytest.approx(len(json.dumps(body)) / 4, rel=0.01)


def test_what_runs_at_once_is_told() -> None:
    assert issue(sequences=6).sequences == 6


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_a_code_of_its_own_and_the_status_of_whose_doing_it_is(reason: Reason) -> None:
    error = refused(Refusal(reason, 17))
    assert isinstance(error, SluiceError)
    face = face_of(error)
    assert (face.status, face.code) == (429 if reason.by_tenant else 503, reason.value)
    headers = dict(envelope.headers(error))
    assert (headers[b"retry-after"], headers[b"x-sluice-reason"]) == (b"17", reason.value.encode())
    assert "17 s" in error.message

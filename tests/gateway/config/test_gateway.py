"""The gateway's own section."""

import pytest
from pydantic import ValidationError

from gateway.config import Gateway
from gateway.config.guard import Guard


@pytest.mark.parametrize(("lead", "drain"), [(0, 0), (0, 30), (1, 1.5), (29, 30)])
def test_the_lead_of_a_stop_leaves_its_streams_some_of_the_drain(lead: float, drain: float) -> None:
    assert Gateway(ready_lead_s=lead, drain_s=drain).drain_s == drain


@pytest.mark.parametrize("section", [{"ready_lead_s": 30, "drain_s": 30}, {"ready_lead_s": 60}, {"drain_s": 0.5}])
def test_a_lead_that_eats_the_whole_drain_is_refused(section: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=r"ready_lead_s \(.*\) is part of drain_s \(.*\) and must be shorter"):
        Gateway.model_validate(section)


def test_a_webhook_is_shown_nowhere_and_has_an_address() -> None:
    guard = Guard.model_validate({"webhook": "https://hooks.example.com/swordfish"})
    assert "swordfish" not in guard.model_dump_json() + repr(guard)
    with pytest.raises(ValidationError, match="begins with http:// or https://"):
        Guard.model_validate({"webhook": "hooks.example.com"})

"""Ranges of replicas that cannot work are refused before anything starts: the policy runs in Serve's control loop."""

import math

import pytest
from pydantic import ValidationError

from gateway.config.autoscaling import Autoscaling

NUMBERS = [name for name, field in Autoscaling.model_fields.items() if "float" in str(field.annotation)]


@pytest.mark.parametrize("value", [math.inf, math.nan])
@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_is_finite(name, value):
    with pytest.raises(ValidationError, match="finite"):
        Autoscaling.model_validate({"max_replicas": 3, name: value})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_replicas": 4}, "min_replicas"),
        ({"initial_replicas": 4}, "initial_replicas"),
        ({"warm_spares": 3}, "warm_spares must be less than max_replicas"),
        ({"goal_s": 30.0}, "panic_s must not be less than goal_s"),
        ({"panic_s": 1.0}, "panic_s must not be less than goal_s"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        Autoscaling.model_validate({"max_replicas": 3} | wrong)
    Autoscaling.model_validate({"max_replicas": 3, "warm_spares": 2, "goal_s": 9.0, "panic_s": 9.0})

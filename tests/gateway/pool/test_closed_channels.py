"""What an engine may not be set to."""

from types import SimpleNamespace

import pytest

from gateway.errors import ConfigError
from gateway.pool.closed_channels import check_closed


def settings(**changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"logprobs_mode": "raw_logprobs", "max_logprobs": 20} | changes)


@pytest.mark.parametrize("changes", [{}, {"logprobs_mode": "raw_logits"}, {"max_logprobs": 0}])
def test_what_leaks_nothing_is_served(changes: dict[str, object]) -> None:
    check_closed("m", settings(**changes))


@pytest.mark.parametrize(
    ("changes", "details", "named"),
    [
        ({"logprobs_mode": "processed_logprobs"}, False, "logprobs_mode"),
        ({"logprobs_mode": "processed_logits"}, False, "logprobs_mode"),
        ({"max_logprobs": -1}, False, "max_logprobs"),
        ({"max_logprobs": 21}, False, "max_logprobs"),
        ({}, True, "enable_prompt_tokens_details"),
    ],
)
def test_what_reopens_a_channel_stops_the_start(changes: dict[str, object], details: bool, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        check_closed("m", settings(**changes), prompt_token_details=details)


def test_vllms_own_settings_bear_these_names() -> None:
    vllm_config = pytest.importorskip("vllm.config")
    fields = vllm_config.ModelConfig.__dataclass_fields__
    assert {"logprobs_mode", "max_logprobs"} <= set(fields)
    assert fields["logprobs_mode"].default.startswith("raw_")

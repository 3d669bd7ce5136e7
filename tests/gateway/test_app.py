"""What the composition root makes of the configuration."""

from pathlib import Path

from gateway.app import _policy
from tests.gateway.pool.fronts import config


def test_what_a_request_may_hold_is_as_configured(tmp_path: Path) -> None:
    asked = {"unknown_fields": "drop", "max_n": 3, "max_items": 5}
    policy = _policy(config(tmp_path, surface=asked))
    assert asked == {name: getattr(policy, name) for name in asked}

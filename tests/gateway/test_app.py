"""What the composition root makes of the configuration."""

from pathlib import Path

from gateway.app import GatewayApp, _policy
from tests.gateway.pool.fronts import config


def test_what_a_request_may_hold_is_as_configured(tmp_path: Path) -> None:
    asked = {"unknown_fields": "drop", "max_n": 3, "max_items": 5}
    policy = _policy(config(tmp_path, surface=asked))
    assert asked == {name: getattr(policy, name) for name in asked}


def test_a_key_file_that_broke_meanwhile_is_a_warning(tmp_path: Path) -> None:
    settings = config(tmp_path)
    gateway = GatewayApp(settings, [], "127.0.0.1")
    assert gateway.status()["warnings"] == gateway.health.warnings() == []
    settings.keys_file.write_text("{")
    gateway._store._next_check = 0.0  # a second later
    assert gateway.status()["warnings"] == gateway.health.warnings()
    assert str(settings.keys_file) in gateway.status()["warnings"][0]
    gateway._peer.close()

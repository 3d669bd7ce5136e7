"""The `limits` section: what it takes, and what it refuses by name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.limits.opening import policies

DAY = {"scope": "key", "limit": 10, "per": "day"}


def loaded(folder: Path, limits: dict[str, Any]) -> Config:
    path = folder / "sluice.yaml"
    models = [{"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}]
    path.write_text(yaml.safe_dump({"models": models, "limits": limits}))
    return load(path)


@pytest.mark.parametrize(
    ("limits", "key", "says"),
    [
        ({"redis": "http://127.0.0.1"}, "limits.redis", "redis://"),
        ({"share": 0}, "limits.share", "greater than 0"),
        ({"outage": "ignore"}, "limits.outage", "'share' or 'refuse'"),
        ({"trusted_proxies": ["10.0.0.300"]}, "limits.trusted_proxies.0", "not a valid"),
        ({"address": ["often"]}, "limits.address.0", "60/minute"),
        ({"address": ["60/minute; 90/minute"]}, "limits.address", "two rates of the same period"),
        ({"default": {"requests": {"key": ["1/hour", "60/hour"]}}}, "limits.default.requests.key", "two rates"),
        ({"tiers": {"a": {"tokens": [DAY, DAY | {"limit": 20}]}}}, "limits.tiers.a.tokens", "two budgets"),
        ({"tiers": {"a": {"tokens": [DAY | {"limit": 0}]}}}, "limits.tiers.a.tokens.0.limit", "greater than"),
        (
            {"tiers": {"a": {"tokens": [DAY | {"scope": "address"}]}}},
            "limits.tiers.a.tokens.0.scope",
            "'key' or 'tenant'",
        ),
        ({"tiers": {"a": {"tokens": [DAY | {"model": "n"}]}}}, "", "limits.tiers.a.tokens: no model 'n' is served"),
        ({"tiers": {"a": {"tokens": [DAY | {"per": "lifetime"}]}}}, "limits", "tiers.a.tokens: a budget per lifetime"),
        ({"tiers": {"a": {"request": {}}}}, "limits.tiers.a.request", "unknown key"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_key(
    tmp_path: Path, limits: dict[str, Any], key: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, limits)
    assert caught.value.key == key
    assert says in str(caught.value)
    assert "sluice.yaml" in str(caught.value)


def test_a_password_is_shown_nowhere(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"redis": "redis://:hunter2@127.0.0.1:6379"})
    assert "hunter2" not in config.model_dump_json() + repr(config)
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, {"redis": "http://:hunter2@127.0.0.1:6379"})
    assert "hunter2" not in str(caught.value)


def test_a_lifetime_is_for_a_store_that_lasts(tmp_path: Path) -> None:
    tier = {"tokens": [DAY | {"per": "lifetime", "model": "m"}]}
    config = loaded(tmp_path, {"redis": "redis://127.0.0.1:6379", "tiers": {"a": tier}})
    (rule,) = policies(config.limits).of("a").tokens
    assert (rule.scope, rule.limit, rule.per, rule.model) == ("key", 10, "lifetime", "m")


def test_a_tier_that_is_not_listed_gets_the_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, {"default": {"requests": {"tenant": ["5/minute"]}}, "tiers": {"free": {}}})
    known = policies(config.limits)
    assert [rule.scope for rule in known.of("gold").windows] == ["tenant"]
    assert known.of("free").windows == ()

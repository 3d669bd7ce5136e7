"""Secrets reach gateways, and nothing that Serve keeps."""

import stat
from pathlib import Path
from typing import Any

import pytest

from deployments import withheld
from gateway.config import Config

REDIS, HOOK = "redis://:hunter2@a/0", "https://hooks.example.com/T0/swordfish"


def config(state_dir: Path, **changes: Any) -> Config:
    model = {"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}
    return Config.model_validate({"models": [model], "state_dir": str(state_dir), **changes})


def secretive(state_dir: Path, redis: str = REDIS) -> Config:
    tiers = {"a": {"tokens": [{"scope": "key", "limit": 10, "per": "lifetime"}]}}
    return config(state_dir, limits={"redis": redis, "tiers": tiers}, gateway={"guard": {"webhook": HOOK}})


def values(found: Config) -> list[str | None]:
    return [
        None if one is None else one.get_secret_value() for one in (found.limits.redis, found.gateway.guard.webhook)
    ]


def test_what_is_taken_away_can_be_put_back(tmp_path: Path) -> None:
    whole = secretive(tmp_path)
    bare = withheld.without(whole)
    assert values(bare) == ["", ""], "not None: that would be another configuration, which works"
    assert values(withheld.restored(bare, withheld.leave(whole))) == [REDIS, HOOK]
    assert bare.limits.tiers == whole.limits.tiers


def test_a_configuration_without_secrets_needs_no_file(tmp_path: Path) -> None:
    plain = config(tmp_path)
    assert withheld.leave(plain) is None
    assert withheld.restored(withheld.without(plain), None) == plain
    assert list(tmp_path.iterdir()) == []


def test_only_the_user_may_read_the_file_and_its_name_tells_nothing(tmp_path: Path) -> None:
    files = [withheld.leave(secretive(tmp_path / name)) for name in "ab"]
    for file in files:
        assert file is not None
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len({file.name for file in files if file}) == 2


def test_the_same_secrets_have_the_same_file_and_others_another_one(tmp_path: Path) -> None:
    """A gateway that is restarted during an update still finds the secrets of its own version."""
    old = withheld.leave(secretive(tmp_path))
    assert withheld.leave(secretive(tmp_path)) == old
    new = withheld.leave(secretive(tmp_path, redis="redis://:other@a/0"))
    assert new != old
    assert values(withheld.restored(secretive(tmp_path), old)) == [REDIS, HOOK]


def test_what_nobody_reads_any_more_is_deleted(tmp_path: Path) -> None:
    old, new = (withheld.leave(secretive(tmp_path, redis=f"redis://:{name}@a/0")) for name in ("old", "new"))
    assert old is not None
    withheld.forget(secretive(tmp_path), but=new)
    assert list(old.parent.iterdir()) == [new]
    withheld.forget(secretive(tmp_path))
    assert list(old.parent.iterdir()) == []


def test_a_node_that_does_not_see_the_file_says_which(tmp_path: Path) -> None:
    file = withheld.leave(secretive(tmp_path))
    withheld.forget(secretive(tmp_path))
    with pytest.raises(FileNotFoundError, match=str(file)):
        withheld.restored(secretive(tmp_path), file)

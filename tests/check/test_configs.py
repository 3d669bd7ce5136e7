"""Every configuration that ships is one that Sluice accepts."""

from pathlib import Path

import pytest

from gateway.config import Config, load

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_there_is_something_to_load():
    assert (CONFIGS / "local.yaml").is_file()


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.name)
def test_a_shipped_configuration_loads(path):
    assert isinstance(load(path), Config)

"""What makes gateway and engine differ, and what is another output layer."""

import shutil
from pathlib import Path

import pytest

from deployments.demo_model import INT8
from gateway.pool.fingerprint import FILES, fingerprint, layer_version


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in FILES:
        if (INT8 / name).exists():
            shutil.copy(INT8 / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_only_another_configuration_is_another_output_layer(model: Path, name: str) -> None:
    agreed, layer = fingerprint(str(model)), layer_version(str(model))
    with (model / name).open("ab") as file:
        file.write(b"\n")
    assert fingerprint(str(model)) != agreed
    assert (layer_version(str(model)) != layer) == (name == "config.json")

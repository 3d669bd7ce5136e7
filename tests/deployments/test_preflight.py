"""What a reload may not change."""

import pytest

from deployments.preflight import check_reload
from gateway.config import Config
from gateway.errors import ConfigError


def config(*, name="m", source="demo:int8", port=8080, **engine):
    checkpoint = {"source": source, "format": "int8-w8a8"}
    model = {"name": name, "checkpoints": {"cpu": checkpoint}, "engine": engine}
    return Config.model_validate({"models": [model], "gateway": {"listen": {"port": port}}})


@pytest.mark.parametrize(
    ("new", "key"),
    [
        (config(source="demo:bf16"), "models.m.checkpoints"),
        (config(max_model_len=512), "models.m.engine.max_model_len"),
        (config(port=8081), "gateway.listen"),
    ],
)
def test_what_gateways_or_clients_rely_on_stays(new, key):
    with pytest.raises(ConfigError) as refused:
        check_reload(config(), new, "sluice.yaml")
    assert refused.value.key == key
    assert "sluice down" in str(refused.value)


@pytest.mark.parametrize("new", [config(max_num_seqs=7), config(name="other", source="demo:bf16"), config()])
def test_the_rest_may_change(new):
    check_reload(config(), new, "sluice.yaml")

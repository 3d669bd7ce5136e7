"""What cannot work is refused before anything starts, and what a reload may not change."""

import resource
import socket

import pytest

from deployments.preflight import check_ports, check_reload, check_room, make_token, resolve
from gateway.config import Config
from gateway.errors import ConfigError, KeyStoreError

MODEL = {"name": "m", "checkpoints": {"cpu": {"source": "demo:int8", "format": "int8-w8a8"}}}


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


@pytest.mark.parametrize("setting", ["tool_parser", "reasoning_parser"])
def test_a_parser_that_vllm_does_not_have_is_refused_with_one_that_it_has(setting):
    pytest.importorskip("vllm")
    wrong, right = {"tool_parser": ("hermez", "hermes"), "reasoning_parser": ("qwen33", "qwen3")}[setting]
    known = Config.model_validate({"models": [MODEL | {setting: right}]})
    assert len(resolve(known, "sluice.yaml")) == 1
    with pytest.raises(ConfigError, match=right) as refused:
        resolve(Config.model_validate({"models": [MODEL | {setting: wrong}]}), "sluice.yaml")
    assert refused.value.key == f"models.m.{setting}"


def test_every_gateway_and_engine_has_a_slot():
    def slots(logical_cpus, **ray):
        models = [MODEL | {"replicas": 2}, MODEL | {"name": "n", "autoscaling": {"max_replicas": 4}}]
        section = {"logical_cpus": logical_cpus, **ray}
        return Config.model_validate({"models": models, "gateway": {"replicas": 2}, "ray": section})

    check_room(slots(8), "sluice.yaml")
    check_room(slots(7, address="auto"), "sluice.yaml")
    with pytest.raises(ConfigError) as refused:
        check_room(slots(7), "sluice.yaml")
    assert refused.value.key == "ray.logical_cpus"
    assert "7 are too few for 2 gateways and up to 6 engines" in str(refused.value)
    assert "say 9" in str(refused.value)


@pytest.mark.parametrize("door", ["listen", "haproxy"])
def test_a_door_has_a_port_that_clients_can_be_told(door):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    ports = {"listen": {"port": free}, "haproxy": {"enabled": True, "port": free}}
    ports[door]["port"] = 0
    with pytest.raises(ConfigError, match="0 would be a port that nobody is told of") as refused:
        check_ports(Config.model_validate({"models": [MODEL], "gateway": ports}), "sluice.yaml")
    assert refused.value.key == f"gateway.{door}.port"


def test_a_key_file_that_gateways_could_not_read_is_refused_here(tmp_path):
    file = tmp_path / "keys.json"
    served = Config.model_validate({"models": [MODEL], "auth": {"keys_file": str(file)}})
    assert len(resolve(served, "sluice.yaml")) == 1
    file.write_text("{")
    with pytest.raises(KeyStoreError, match=r"keys\.json: not a key file"):
        resolve(served, "sluice.yaml")


def test_a_token_that_could_not_be_written_is_made_by_the_next_start(tmp_path):
    """An empty one would be one that Ray refuses for ever."""
    file = tmp_path / "ray-token"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(OSError, match="large"):
            make_token(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list(tmp_path.iterdir()) == []
    file.touch()
    make_token(file)
    token = file.read_text()
    assert (len(token), file.stat().st_mode & 0o777) == (64, 0o600)
    make_token(file)
    assert file.read_text() == token, "Ray's own processes have read it"


def test_a_port_of_the_dashboard_that_another_has_is_refused_by_its_key():
    def settings(free, **ray):
        section = {"dashboard_port": taken.getsockname()[1], **ray}
        return Config.model_validate({"models": [MODEL], "gateway": {"listen": {"port": free}}, "ray": section})

    with socket.socket() as taken, socket.socket() as probe:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
        probe.close()
        with pytest.raises(ConfigError, match="cannot be used: Address already in use") as refused:
            check_ports(settings(free), "sluice.yaml")
        check_ports(settings(free, dashboard=False), "sluice.yaml")
        check_ports(settings(free, address="auto"), "sluice.yaml")
    assert refused.value.key == "ray.dashboard_port"

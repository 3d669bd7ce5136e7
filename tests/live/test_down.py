"""A second Sluice, of two gateways and two engines: stopped while it starts, started, used, and stopped by `sluice down`."""

import collections
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.live.harness import MODEL, Sluice, free_ports, model
from tests.live.harness import sluice as command
from tests.waiting import eventually

pytestmark = [pytest.mark.destructive(order=10), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    listen, management = free_ports(2)
    folder = tmp_path_factory.mktemp("second")
    config = {
        "state_dir": str(folder / "state"),
        "gateway": {
            "replicas": 2,
            "listen": {"port": listen},
            "management": {"port": management},
            "surface": {"unknown_fields": "drop"},
            "drain_s": 2,
        },
        "models": [model(MODEL, "demo:int8", "int8-w8a8") | {"replicas": 2}],
        "ray": {"dashboard": False},
    }
    running = Sluice(folder, config)
    yield running
    running.stop()


def test_ctrl_c_while_it_starts_lets_nothing_behind(second: Sluice) -> None:
    second.launch()
    eventually(lambda: "Ray is up" in second.log, 60, "the middle of a start")
    assert second.interrupt() == 0
    assert second.survivors() == []
    assert "stopped" in second.log
    assert not (second.folder / "state" / "run.json").exists()


def test_two_gateways_share_a_port_and_both_engines(second: Sluice) -> None:
    second.start()
    headers = {"authorization": f"Bearer {second.key()}"}
    question = {"model": MODEL, "messages": [{"role": "user", "content": "What is 17 + 25?"}], "temperature": 0}
    seen: collections.Counter[str] = collections.Counter()
    for number in range(24):
        reply = httpx.post(
            f"{second.url}/v1/chat/completions",
            json=question | {"seed": number, "color_of_answer": "blue"},
            headers=headers,
            timeout=60,
            trust_env=False,
        )
        assert reply.status_code == 200, reply.text
        assert reply.headers["x-sluice-dropped-fields"] == "color_of_answer", "the config says so"
        seen[reply.json()["choices"][0]["message"]["content"]] += 1
    assert seen == {"17 + 25 = 42": 24}
    shown = yaml.safe_load(command("status", "-c", second.file, "--json").stdout)
    assert len(shown["gateways"]) == 2
    for gateway in shown["gateways"]:
        (served,) = gateway["models"]
        assert [engine["state"] for engine in served["engines"]] == ["up", "up"]


def test_down_lets_nothing_behind(second: Sluice) -> None:
    assert len(second.tree()) > 5
    down = command("down", "-c", second.file)
    assert (down.returncode, down.stdout.strip()) == (0, "stopped")
    assert second.process is not None
    assert second.process.wait(5) == 0
    assert " s  stopped" in second.log
    assert second.survivors() == []
    assert not (second.folder / "state" / "run.json").exists()

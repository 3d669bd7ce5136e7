"""Every panel of every dashboard shows something: its queries, asked of a real Prometheus that scrapes a Sluice under load."""

import json
import math
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from gateway.guard.file_store import FileStore
from gateway.guard.packing import Ledger, packed_ledger
from gateway.guard.profile import DAY_S, Profile
from gateway.guard.record import Record
from gateway.guard.sharing import LEDGER
from gateway.guard.store import Row
from gateway.guard.verdict import Level
from tests.live.harness import MODEL, Sluice
from tests.live.harness import sluice as command
from tests.live.prometheus import Prometheus
from tests.waiting import eventually

BOARDS = Path(__file__).resolve().parents[2] / "deployments" / "grafana"
TURN = [{"role": "user", "content": "What is 12 + 34?"}]
SECOND = "sluice-demo-bf16"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus here: Debian has it in its package 'prometheus'"
)


def queries() -> set[tuple[str, str]]:
    """(dashboard and panel, PromQL)"""
    boards = [json.loads(path.read_text()) for path in BOARDS.glob("*.json")]
    return {
        (f"{board['title']} / {panel['title']}", target["expr"])
        for board in boards
        for panel in board["panels"]
        for target in panel.get("targets", [])
    }


def rays_port(running: Sluice) -> int:
    """Where Ray's agent of this node tells its metrics: one of the ports that it has chosen."""
    (agent,) = [process for process in running.tree() if "DashboardAgent" in " ".join(process.cmdline())]
    for connection in agent.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            try:
                told = httpx.get(f"http://127.0.0.1:{connection.laddr.port}/metrics", timeout=5, trust_env=False).text
            except httpx.HTTPError:
                continue
            if "\nray_" in told:
                return int(connection.laddr.port)
    raise AssertionError("Ray's agent tells no metrics")


@pytest.fixture(scope="module")
def load(sluice: Sluice, key: str) -> Iterator[None]:
    """Two streams at a time, to two models, one of them on a budget, and now and then a mistake."""
    done = threading.Event()
    budgeted = sluice.key("budgeted", "--tenant", "budgeted", "--tier", "budgeted")

    def go_on(model: str, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=sluice.url, headers=headers, timeout=60, trust_env=False) as http:
            while not done.is_set():
                body = {"model": model, "messages": TURN, "stream": True, "max_tokens": 24, "ignore_eos": True}
                http.post("/v1/chat/completions", json=body)
                http.post("/v1/chat/completions", json=body | {"model": "nobody"})

    threads = [threading.Thread(target=go_on, args=pair) for pair in ((MODEL, budgeted), (SECOND, key))]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def prometheus(sluice: Sluice, load: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    ray = {"job_name": "ray", "static_configs": [{"targets": [f"127.0.0.1:{rays_port(sluice)}"]}]}
    running = Prometheus(tmp_path_factory.mktemp("prometheus") / "run", sluice.management, [ray])
    yield running
    running.stop()


def test_every_query_of_every_dashboard_returns_data(prometheus: Prometheus) -> None:
    empty = queries()
    assert len(empty) > 60

    def still_empty() -> str:
        for panel, expr in sorted(empty):
            asked = expr.replace("$__rate_interval", "15s").replace("$model", ".*")
            values = [float(series["value"][1]) for series in prometheus.ask(asked)]
            if values and not all(math.isnan(value) for value in values):
                empty.remove((panel, expr))
        return "\n".join(map(str, sorted(empty)))

    deadline = time.monotonic() + 45
    while (left := still_empty()) and time.monotonic() < deadline:
        time.sleep(1)
    assert not left


def test_no_alert_goes_off_while_all_is_well(prometheus: Prometheus) -> None:
    """Nor is about to: a run is too short for those that take a minute. What a failed scrape leaves pending clears."""

    def pages() -> list[dict[str, str]]:
        return [series["metric"] for series in prometheus.ask('ALERTS{severity="page"}')]

    deadline = time.monotonic() + 20
    while (left := pages()) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left


@pytest.mark.parametrize(
    "name",
    [
        "sluice_engines",
        "sluice_time_to_first_token_seconds_bucket",
        "vllm_generation_tokens_total",
        "vllm_num_requests_running",
    ],
)
def test_rays_own_metrics_have_those_of_gateways(prometheus: Prometheus, name: str) -> None:
    """So that Ray's dashboard, and what it draws of served language models, can show them."""
    label = "model" if name.startswith("sluice") else "model_name"
    told = eventually(lambda: prometheus.ask(f'ray_{name}{{{label}="{MODEL}"}}'), 30, f"ray_{name}", every=0.5)
    assert all(series["metric"]["job"] == "ray" for series in told)


def test_a_key_in_quarantine_is_told_and_sets_off_its_alert(sluice: Sluice, prometheus: Prometheus) -> None:
    """Another gateway has found an extractor and told of it in the guard's store."""
    suspect = sluice.key("suspect", "--tenant", "suspects")
    key_id, now = suspect.removeprefix("sk-sluice-")[:8], time.time()
    today = int(now // DAY_S)
    nothing = Record(Profile("suspects", today)).past
    standing = Ledger("suspects", Level.QUARANTINE, now, now, 0.0, 0.0, 0.0, nothing.total.tobytes(), 0.0, now)
    store = FileStore(sluice.folder / "state" / "guard.sqlite")
    store.write([Row(LEDGER + key_id, "", today + 1, packed_ledger(standing))])
    store.close()
    asked = 'sum(sluice_guard_level{level="quarantine"}) == 1'
    eventually(lambda: prometheus.ask(asked), 15, "the level of the key", every=0.2)
    alert = 'ALERTS{alertname="SluiceGuardQuarantine",alertstate="firing"}'
    eventually(lambda: prometheus.ask(alert), 10, "the alert", every=0.2)
    assert command("guard", "-c", sluice.file, "release", key_id).returncode == 0
    eventually(lambda: not prometheus.ask(asked), 10, "the key's release", every=0.2)

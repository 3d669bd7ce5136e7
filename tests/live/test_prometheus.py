"""Every panel of every dashboard shows something: its queries, asked of a real Prometheus that scrapes a Sluice under load."""

import json
import math
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.harness import MODEL, Sluice
from tests.live.prometheus import Prometheus
from tests.waiting import eventually

BOARDS = Path(__file__).resolve().parents[2] / "deployments" / "grafana"
TURN = [{"role": "user", "content": "What is 12 + 34?"}]
WITH_STATISTICS = "sluice-demo-bf16"

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="no prometheus here: Debian has it in its package 'prometheus'"
)


def queries() -> list[tuple[str, str]]:
    """(dashboard and panel, PromQL)"""
    boards = [json.loads(path.read_text()) for path in sorted(BOARDS.glob("*.json"))]
    return [
        (f"{board['title']} / {panel['title']}", target["expr"])
        for board in boards
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]


@pytest.fixture(scope="module")
def load(sluice: Sluice, key: str) -> Iterator[None]:
    """Two streams at a time, to two models, and now and then a mistake."""
    done = threading.Event()

    def go_on(model: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=sluice.url, headers=headers, timeout=60, trust_env=False) as http:
            while not done.is_set():
                body = {"model": model, "messages": TURN, "stream": True, "max_tokens": 24, "ignore_eos": True}
                http.post("/v1/chat/completions", json=body)
                http.post("/v1/chat/completions", json=body | {"model": "nobody"})

    threads = [threading.Thread(target=go_on, args=(model,)) for model in (MODEL, WITH_STATISTICS)]
    for thread in threads:
        thread.start()
    yield
    done.set()
    for thread in threads:
        thread.join()


@pytest.fixture(scope="module")
def prometheus(sluice: Sluice, load: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    running = Prometheus(tmp_path_factory.mktemp("prometheus") / "run", sluice.management)
    yield running
    running.stop()


def test_every_query_of_every_dashboard_returns_data(prometheus: Prometheus) -> None:
    empty = dict(queries())

    def still_empty() -> bool:
        for panel, expr in list(empty.items()):
            asked = expr.replace("$__rate_interval", "15s").replace("$model", ".*")
            values = [float(series["value"][1]) for series in prometheus.ask(asked)]
            if values and not all(math.isnan(value) for value in values):
                del empty[panel]
        return bool(empty)

    assert len(queries()) > 40
    eventually(lambda: not still_empty(), 45, f"data for {empty}", every=1)


def test_no_alert_goes_off_while_all_is_well(prometheus: Prometheus) -> None:
    quiet = [
        series for series in prometheus.ask('ALERTS{alertstate="firing"}') if series["metric"]["severity"] == "page"
    ]
    assert quiet == []

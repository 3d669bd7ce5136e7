"""What a gateway tells before anything has happened: `rate` and `increase` do not see the jump with which a series begins."""

import re
from pathlib import Path

import pytest

pytest.importorskip("vllm")

from gateway.app import GatewayApp
from gateway.errors import FACES
from gateway.telemetry.record import Outcome
from tests.gateway.pool.engines import SPEC
from tests.gateway.pool.fronts import config
from tests.gateway.telemetry.test_metrics import FOLDERS, SUFFIXES

OF_ENGINES = "sluice_engine_prefix"
OF_THE_POLICY = "sluice_autoscaling"
"""Both are told by others, of which there are none yet."""


async def test_every_counter_of_the_rules_and_dashboards_is_there_at_nought(tmp_path: Path) -> None:
    app = GatewayApp(config(tmp_path, limits={"tiers": {"gold": {}}}), [SPEC], "127.0.0.1")
    text = app._metrics.render("text/plain")[0].decode()
    await app.close()
    there = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    texts = "".join(path.read_text() for folder in FOLDERS for path in folder.iterdir() if path.suffix in SUFFIXES)
    counters = set(re.findall(r"\bsluice_\w+_total\b", texts))
    assert len(counters) > 10
    missing = counters - {series.partition("{")[0] for series in there}
    assert {name for name in missing if not name.startswith((OF_ENGINES, OF_THE_POLICY))} == set()
    of = f'model="{SPEC.name}"'
    for tier in ("gold", "other"):
        for outcome in Outcome:
            assert there[f'sluice_inference_requests_total{{{of},outcome="{outcome.value}",tier="{tier}"}}'] == "0.0"
    for face in FACES.values():
        assert there[f'sluice_errors_total{{code="{face.code or face.type}"}}'] == "0.0"
    for how in ("moved", "EngineLost", "EnginePoisoned", "NoEngine"):
        assert there[f'sluice_failovers_total{{{of},outcome="{how}"}}'] == "0.0"

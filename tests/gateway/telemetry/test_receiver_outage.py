"""A receiver that refuses, or takes connections and never answers: requests do not notice, and the gateway can stop."""

import socket
import time
from collections.abc import Iterator

import pytest

from gateway.config.telemetry import Traces
from gateway.telemetry import tracing
from gateway.telemetry.otlp import BATCH, batches_to
from tests.gateway.telemetry.records import leg, record

ALL_S, CLOSE_S, MORE_S = 4.0, 0.3, 2.0
"""An export that waits gives up after ten seconds; a busy machine may take one for itself."""


@pytest.fixture(params=["stalled", "refused"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "stalled":
            listener.listen(8)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_no_request_waits_for_it_and_neither_does_the_end(
    address: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "CLOSE_S", CLOSE_S)
    settings = Traces.model_validate({"endpoint": address, "protocol": protocol, "ratio": 1})
    traces = tracing.Tracing(settings, "s", "i", batches_to(settings))
    begun = time.perf_counter()
    for _ in range(BATCH // 4):
        assert traces.end(record(leg(), sampled=True))
    assert time.perf_counter() - begun < ALL_S
    begun = time.perf_counter()
    traces.close()
    assert time.perf_counter() - begun < CLOSE_S + MORE_S

"""Points of the charts: rates over the time passed, quantiles as Prometheus has them, and never more than fit."""

import math

import pytest

from gateway.console.history import POINTS, SERIES, Gauges, History, between, quantile
from gateway.telemetry.record import Outcome
from tests.gateway.telemetry.records import leg, record

INF = math.inf


def test_a_quantile_lies_within_its_bucket_as_far_as_its_rank() -> None:
    buckets = [(0.1, 10.0), (0.2, 30.0), (INF, 40.0)]
    assert quantile(buckets, 0.5) == pytest.approx(0.15)
    assert quantile(buckets, 0.25) == pytest.approx(0.1)
    assert quantile(buckets, 0.99) == 0.2, "beyond the last bound nothing is known"
    assert quantile([(0.1, 0.0), (INF, 0.0)], 0.5) is None
    assert quantile([], 0.5) is None


def test_a_histogram_that_begins_anew_counts_from_nothing() -> None:
    before, after = [(0.1, 5.0), (INF, 9.0)], [(0.1, 6.0), (INF, 12.0)]
    assert between(before, after) == [(0.1, 1.0), (INF, 3.0)]
    assert between(after, before) == before
    assert between((), after) == after


class Model:
    def __init__(self) -> None:
        self.gauges = Gauges(3, 2, 0.25, [(0.01, 0.0), (INF, 0.0)])

    def read(self) -> dict[str, Gauges]:
        return {"demo": self.gauges}


def test_a_point_tells_what_happened_since_the_one_before() -> None:
    model = Model()
    history = History(model.read)
    history.tick(100.0, 1e9)
    for _ in range(4):
        history.ended(record(leg(), model="demo"))
    history.ended(record(model="demo", outcome=Outcome.ERROR))
    model.gauges = model.gauges._replace(gaps=[(0.01, 60.0), (INF, 60.0)])
    history.tick(104.0, 1e9 + 4)
    found = history.since(1)
    values = {name: series[0] for name, series in found["models"]["demo"].items()}
    assert found["at"] == [1e9 + 4]
    assert set(values) == set(SERIES)
    assert (values["requests_s"], values["errors_s"]) == (1.25, 0.25)
    assert values["output_tokens_s"] == 16.0, "60 gaps and four first tokens in four seconds"
    assert (values["running"], values["waiting"], values["kv_use"]) == (3, 2, 0.25)
    assert values["first_token_p50"] > 0
    assert values["inter_token_p50"] == pytest.approx(0.005)


def test_a_page_gets_only_what_it_has_not_got_and_everything_from_a_stranger() -> None:
    history = History(Model().read)
    for second in range(10):
        history.tick(second, second)
    assert history.since(10)["at"] == []
    assert history.since(7)["at"] == [7, 8, 9]
    assert len(history.since(0)["at"]) == 10
    assert len(history.since(99)["at"]) == 10, "a number of another gateway's"


def test_history_is_bounded() -> None:
    history = History(Model().read)
    for second in range(POINTS + 50):
        history.tick(second, second)
    assert len(history.since(0)["at"]) == POINTS
    assert history.since(0)["number"] == POINTS + 50


def test_a_quiet_time_has_gaps_and_no_zeros_for_latency() -> None:
    history = History(Model().read)
    history.tick(0, 0)
    series = history.since(0)["models"]["demo"]
    assert series["first_token_p50"] == series["inter_token_p95"] == [None]
    assert series["requests_s"] == [0.0]

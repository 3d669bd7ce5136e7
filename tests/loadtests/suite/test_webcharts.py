"""What the charts of Locust's page cost the streams that are read beside them."""

import time

import gevent
import msgspec
import pytest

from loadtests.suite.record import Journal, Outcome, Record, packed
from loadtests.suite.webcharts import PLACES, Webcharts

read: list[float] = []


class Watched(Record, frozen=True, array_like=True):
    """Tells when its gaps are read."""

    @property
    def gaps_s(self) -> list[float]:
        read.append(self.at)
        return super().gaps_s


def ended(ago_s: float, lasted_s: float = 1.0) -> Record:
    at = time.time() - ago_s - lasted_s
    fields = {"persona": "chat", "outcome": Outcome.RIGHT, "status": 200, "judged": True, "lag_s": 0.0, "ttft_s": 0.0}
    return Watched(at=at, e2e_s=lasted_s, tokens=100, gaps=packed([0.01]), **fields)


@pytest.fixture
def journal() -> Journal:
    read.clear()
    return Journal()


def rows(charts: Webcharts) -> list[dict]:
    found: list[dict] = msgspec.json.decode(charts.data().get_data())
    return found


def test_a_page_that_looks_again_reads_what_has_come_since(journal: Journal):
    charts = Webcharts(None, journal)
    journal.records += [ended(400), ended(100)]
    assert sum(row["right"] for row in rows(charts)) == 1, "the last five minutes"
    assert len(read) == 1
    journal.records.append(ended(20, lasted_s=200))
    seen = rows(charts)
    assert read[1:] == [journal.records[-1].at]
    assert sum(row["right"] for row in seen) == 2
    assert 5 * sum(row["tokens_per_s"] for row in seen) == pytest.approx(200), "a long stream's reach back to its begin"
    journal.clear()
    assert not any(row["in_flight"] for row in rows(charts)), "of another run"


def test_streams_have_their_turn_while_the_page_is_drawn(journal: Journal):
    journal.records += [ended(100) for _ in range(100)]
    turns = []

    def stream() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    beside = gevent.spawn(stream)
    rows(Webcharts(None, journal))
    beside.kill()
    assert len(turns) > PLACES

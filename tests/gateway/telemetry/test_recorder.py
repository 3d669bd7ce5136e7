"""Records handed on, whatever becomes of one who gets them."""

import pytest

from gateway.telemetry.record import RequestRecord
from gateway.telemetry.recorder import Recorder
from tests.gateway.telemetry.records import leg, record


class Broken:
    """A keeper of traces that cannot make one."""

    def begin(self, record: RequestRecord) -> None: ...

    def end(self, record: RequestRecord) -> bool:
        raise ValueError("no span of this")


def test_a_request_whose_span_cannot_be_made_is_told_of_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    observed: list[bool] = []
    told: list[RequestRecord] = []

    def observe(record: RequestRecord, *, kept: bool) -> None:
        observed.append(kept)

    made = record(leg(), body={"messages": []})
    Recorder(Broken(), observe, on_end=[told.append]).end(made, 200, None, complete=True)
    assert (observed, told) == ([False], [made])
    assert made.body == {}
    assert "request_not_traced" in capsys.readouterr().out

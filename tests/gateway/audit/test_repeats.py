"""What is repeated a thousand times is recorded twice."""

from gateway.audit.record import Event
from gateway.audit.repeats import Repeats
from tests.gateway.audit.conftest import Trail

REFUSED = Event.REQUEST_REFUSED


def test_a_flood_is_its_first_record_and_then_a_count(trail: Trail):
    now = 0.0
    with trail.open() as log:
        repeats = Repeats(log, period_s=60, clock=lambda: now)
        for number in range(1000):
            repeats.record(REFUSED, {"code": "a", "tenant": f"t{number % 2}"})
        repeats.tell()
        now = 61.0
        repeats.tell()
        repeats.record(REFUSED, {"code": "a", "tenant": "t0"})
        repeats.tell(everything=True)
        log.submit(Event.CONFIG_LOADED).result(10)
    counts = [record["fields"].get("count") for record in trail.records() if record["event"] == REFUSED]
    assert counts == [None, None, 499, 499, None]
    assert trail.verify().whole


def test_whoever_varies_what_is_refused_cannot_fill_the_memory(trail: Trail):
    with trail.open() as log:
        repeats = Repeats(log, most=10, clock=lambda: 0.0)
        for number in range(1000):
            repeats.record(REFUSED, {"code": f"c{number}"})
        assert len(repeats._open) == 10
        log.submit(Event.CONFIG_LOADED).result(10)
    assert sum(record["event"] == REFUSED for record in trail.records()) == 1000

"""Spans that never arrive are counted, whichever way they are lost."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from gateway.telemetry.keeping import Lost
from gateway.telemetry.otlp import Batches
from tests.waiting import eventually

QUEUE = 16


class Receiver(SpanExporter):
    """Answers as it is told, once it may."""

    def __init__(self) -> None:
        self.answers: list[SpanExportResult | Exception] = []
        self.may_answer = threading.Event()
        self.asked = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked += len(spans)
        self.may_answer.wait(20)
        answer = self.answers.pop(0) if self.answers else SpanExportResult.SUCCESS
        if isinstance(answer, Exception):
            raise answer
        return answer

    def shutdown(self) -> None:
        self.may_answer.set()


class Place:
    def __init__(self) -> None:
        self.receiver = Receiver()
        self.batches = Batches(self.receiver, QUEUE, 10, 4)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(self.batches)

    def send(self, number: int) -> None:
        for _ in range(number):
            self.provider.get_tracer("t").start_span("s").end()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    yield made
    made.provider.shutdown()


def test_what_arrives_is_not_lost(place: Place) -> None:
    place.receiver.may_answer.set()
    for _ in range(3):
        place.send(QUEUE)
        eventually(lambda: place.batches.waiting == 0, 10, "all sent", every=0.01)
    assert place.receiver.asked == 3 * QUEUE
    assert place.batches.lost == {Lost.QUEUE: 0, Lost.RECEIVER: 0}


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, RuntimeError("no")])
def test_what_the_receiver_does_not_take_is(place: Place, answer: SpanExportResult | Exception) -> None:
    place.receiver.answers.append(answer)
    place.send(1)
    eventually(lambda: place.receiver.asked == 1, 10, "asked", every=0.01)
    place.receiver.may_answer.set()
    eventually(lambda: place.batches.lost[Lost.RECEIVER] == 1, 10, "counted", every=0.01)
    place.send(2)
    eventually(lambda: place.receiver.asked == 3, 10, "asked again", every=0.01)
    assert place.batches.lost == {Lost.QUEUE: 0, Lost.RECEIVER: 1}


def test_what_finds_no_room_while_the_receiver_says_nothing_is(place: Place) -> None:
    place.send(1)
    eventually(lambda: place.receiver.asked == 1, 10, "asked", every=0.01)
    place.send(QUEUE)
    assert place.batches.lost[Lost.QUEUE] == 0
    place.send(5)
    assert place.batches.lost[Lost.QUEUE] == 5
    place.receiver.may_answer.set()
    eventually(lambda: place.receiver.asked == 1 + QUEUE, 10, "the rest", every=0.01)
    assert place.batches.lost == {Lost.QUEUE: 5, Lost.RECEIVER: 0}

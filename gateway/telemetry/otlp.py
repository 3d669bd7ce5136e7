"""Where spans go: an OTLP receiver, over gRPC or HTTP, in batches from a thread of the SDK's."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.config.telemetry import Traces
from gateway.errors import ConfigError
from gateway.telemetry.keeping import Lost

HTTP_PATH: Final = "/v1/traces"
QUEUE, BATCH, EVERY_MS = 8192, 512, 1000
"""Spans that wait at most (the oldest makes way for what comes beyond), that go together, and how often they go."""


class _Counted(SpanExporter):
    """Another one that is asked and listened to."""

    def __init__(self, exporter: SpanExporter, lost: dict[Lost, int]) -> None:
        self._exporter, self._lost = exporter, lost
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self._lost[Lost.RECEIVER] += len(spans)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Batches(BatchSpanProcessor):
    """`lost`: spans by the reason for which they never arrived. Spans come from one thread and go from another, and each counts its
    own.
    """

    def __init__(self, exporter: SpanExporter, queue: int, every_ms: float, batch: int) -> None:
        self.lost = dict.fromkeys(Lost, 0)
        self._queue, self._given = queue, 0
        self._counted = _Counted(exporter, self.lost)
        super().__init__(self._counted, queue, every_ms, batch)

    @property
    def waiting(self) -> int:
        return self._given - self._counted.taken - self.lost[Lost.QUEUE]

    def on_end(self, span: ReadableSpan) -> None:
        if self.waiting >= self._queue:
            self.lost[Lost.QUEUE] += 1
        self._given += 1
        super().on_end(span)


def batches_to(settings: Traces) -> Batches:
    """Raises ConfigError if a header's file cannot be read."""
    return Batches(_exporter(settings), QUEUE, EVERY_MS, BATCH)


def _exporter(settings: Traces) -> SpanExporter:
    assert settings.endpoint is not None
    headers = _headers(settings.headers)
    parts = urlsplit(settings.endpoint)
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as OverGrpc

        return OverGrpc(endpoint=settings.endpoint, insecure=parts.scheme == "http", headers=headers)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as OverHttp

    whole = parts.path not in ("", "/")
    return OverHttp(settings.endpoint if whole else settings.endpoint.rstrip("/") + HTTP_PATH, headers=headers)


def _headers(files: Mapping[str, Path]) -> dict[str, str]:
    try:
        return {name.lower(): path.read_text(encoding="utf-8").strip() for name, path in files.items()}
    except OSError as exc:
        raise ConfigError(None, "telemetry.traces.headers", f"{exc.filename} cannot be read: {exc.strerror}") from exc

"""Where spans go: an OTLP receiver, over gRPC or HTTP, in batches from a thread of the SDK's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from gateway.config.telemetry import Traces
from gateway.errors import ConfigError

HTTP_PATH: Final = "/v1/traces"
QUEUE, BATCH, EVERY_MS = 8192, 512, 1000
"""Spans that wait at most (what comes beyond is dropped and counted by the SDK), that go together, and how often they go."""


def batches_to(settings: Traces) -> BatchSpanProcessor:
    """Raises ConfigError if a header's file cannot be read."""
    return BatchSpanProcessor(_exporter(settings), QUEUE, EVERY_MS, BATCH)


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

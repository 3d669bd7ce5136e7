"""Real OTLP receivers in this process, over gRPC and over HTTP: they decode what comes and keep its spans."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service


@dataclass
class Received:
    """A span as it arrived; times are nanoseconds since the epoch, ids hexadecimal."""

    trace: str
    id: str
    parent: str
    name: str
    kind: int
    begin: int
    end: int
    attributes: dict[str, Any]
    events: list[tuple[str, int, dict[str, Any]]]
    status: int
    resource: dict[str, Any]


@dataclass
class Inbox:
    """What has been received, by trace."""

    spans: list[Received] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def take(self, request: messages.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        for group in request.resource_spans:
            resource = _values(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [_received(span, resource) for span in scope.spans]

    def of(self, trace: str) -> list[Received]:
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.begin)


def _received(span: Any, resource: dict[str, Any]) -> Received:
    events = [(event.name, event.time_unix_nano, _values(event.attributes)) for event in span.events]
    return Received(
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.name,
        span.kind,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _values(span.attributes),
        events,
        span.status.code,
        resource,
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    return getattr(value, kind)


class GrpcReceiver(service.TraceServiceServicer):
    def __init__(self) -> None:
        self.inbox = Inbox()
        self._server = grpc.server(ThreadPoolExecutor(1))
        service.add_TraceServiceServicer_to_server(self, self._server)
        self.url = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  the service's own name
        self.inbox.take(request, dict(context.invocation_metadata()))
        return messages.ExportTraceServiceResponse()

    def close(self) -> None:
        self._server.stop(0).wait()


class HttpReceiver:
    def __init__(self) -> None:
        inbox = self.inbox = Inbox()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.take(messages.ExportTraceServiceRequest.FromString(body), dict(self.headers))
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

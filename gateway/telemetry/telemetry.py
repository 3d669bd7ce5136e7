"""All that one gateway tells, put together from its configuration."""

from collections.abc import Callable, Collection, Mapping

from gateway.config import Config
from gateway.telemetry.engine_metrics import EngineMetrics, PoolReading
from gateway.telemetry.keeping import Kept, Lost
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import RequestRecord
from gateway.telemetry.recorder import Recorder
from gateway.telemetry.request_log import LineFile, RequestLog
from gateway.telemetry.request_metrics import RequestMetrics
from gateway.telemetry.step_metrics import StepMetrics
from gateway.telemetry.tracing import Tracing


class Telemetry:
    """`recorder` is the door's; `steps` gives each model's pool whom to tell of an engine's steps."""

    def __init__(self, config: Config, gateway_id: str, models: Collection[str], routes: frozenset[str]) -> None:
        settings = config.telemetry
        self.metrics = Metrics(routes)
        self._requests = RequestMetrics(self.metrics.registry, models, config.tiers)
        self.steps = StepMetrics(self.metrics.registry)
        self._tracing: Tracing | None = None
        lost = dict.fromkeys(Lost, 0)
        if settings.traces.endpoint is not None:
            from gateway.telemetry.otlp import batches_to

            batches = batches_to(settings.traces)
            lost = batches.lost
            self._tracing = Tracing(settings.traces, settings.service_name, gateway_id, batches)
        kept = dict.fromkeys(Kept, 0) if self._tracing is None else self._tracing.counts
        self.metrics.counts("sluice_traces", "Traces kept, by the reason.", "reason", kept)
        self.metrics.counts("sluice_spans_lost", "Spans of these that never arrived, by the reason.", "reason", lost)
        self._lines: LineFile | None = None
        if settings.request_log != "off":
            path = config.state_dir / "logs" / "requests.jsonl"
            self._lines = LineFile(path if settings.request_log == "file" else None)
        log = None if self._lines is None else RequestLog(self._lines)
        self.recorder = Recorder(self._tracing, self._observe, log)

    def read_engines(self, read: Callable[[], Mapping[str, PoolReading]]) -> None:
        """Where the metrics of engines come from."""
        EngineMetrics(self.metrics.registry, read)

    def close(self) -> None:
        """Writes and sends what is left; blocks for some seconds at most."""
        if self._lines is not None:
            self._lines.close()
        if self._tracing is not None:
            self._tracing.close()

    def _observe(self, record: RequestRecord, *, kept: bool) -> None:
        self.metrics.request_ended(record)
        self._requests(record, kept=kept)

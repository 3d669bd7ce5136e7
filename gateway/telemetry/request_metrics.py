"""Metrics of requests, made from their records once they have ended. Labels are models that are served, tiers that are configured,
and closed sets of our own: never a key, a tenant, or anything that a client wrote.
"""

from collections.abc import Collection
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.errors import FACES
from gateway.telemetry.record import Leg, Outcome, RequestRecord

OTHER: Final = "other"
FIRST_TOKEN: Final = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.6, 1, 2, 4, 8, 15, 30, 60)
PER_TOKEN: Final = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
WHOLE: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600)
PARTS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class _Series:
    """The metrics of one model and tier, their labels looked up once."""

    def __init__(self, metrics: "RequestMetrics", model: str, tier: str) -> None:
        labels = (model, tier)
        self.ended = {outcome: metrics.ended.labels(*labels, outcome.value) for outcome in Outcome}
        self.first_token = metrics.first_token.labels(*labels)
        self.per_token = metrics.per_token.labels(*labels)
        self.whole = metrics.whole.labels(*labels)
        self.prompt = metrics.prompt.labels(*labels)
        self.cached = metrics.cached.labels(*labels)
        self.completion = metrics.completion.labels(*labels)
        self.queue = metrics.queue.labels(model)
        self.prefill = metrics.prefill.labels(model)
        self.pause = metrics.pause.labels(model)


class RequestMetrics:
    """One per gateway. Counters are there, at 0, before anything happens: `increase` does not see the jump with which a series
    begins. Histograms of whole requests carry the trace of one of them, if it was kept.
    """

    def __init__(self, registry: CollectorRegistry, models: Collection[str], tiers: Collection[str]) -> None:
        self._models = frozenset(models)
        self._tiers = frozenset(tiers)
        self._series: dict[tuple[str, str], _Series] = {}
        of: Any = {"labelnames": ["model", "tier"], "registry": registry}
        self.first_token = Histogram(
            "sluice_time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            buckets=FIRST_TOKEN,
            **of,
        )
        self.per_token = Histogram(
            "sluice_time_per_output_token_seconds",
            "A request's mean time between two tokens, without the first.",
            buckets=PER_TOKEN,
            **of,
        )
        self.whole = Histogram(
            "sluice_inference_seconds", "From a request's arrival to its last byte.", buckets=WHOLE, **of
        )
        self.prompt = Counter("sluice_prompt_tokens", "Tokens of prompts.", **of)
        self.cached = Counter("sluice_cached_prompt_tokens", "Of these, found in an engine's prefix cache.", **of)
        self.completion = Counter("sluice_completion_tokens", "Tokens generated.", **of)
        self.ended = Counter(
            "sluice_inference_requests", "Requests ended, by how.", ["model", "tier", "outcome"], registry=registry
        )
        self.errors = Counter(
            "sluice_errors", "Requests that were told an error, by its code.", ["code"], registry=registry
        )
        for model in self._models:
            for tier in (*self._tiers, OTHER):
                for outcome in Outcome:
                    self.ended.labels(model, tier, outcome.value)
                for counter in (self.prompt, self.cached, self.completion):
                    counter.labels(model, tier)
        for face in FACES.values():
            self.errors.labels(face.code or face.type)
        per_model: Any = {"labelnames": ["model"], "registry": registry}
        self.queue = Histogram("sluice_engine_queue_seconds", "Waits inside an engine.", buckets=PARTS, **per_model)
        self.prefill = Histogram("sluice_engine_prefill_seconds", "Prefills.", buckets=PARTS, **per_model)
        self.pause = Histogram(
            "sluice_failover_pause_seconds",
            "From the last token of an engine that was lost to the first of the next.",
            buckets=WHOLE,
            **per_model,
        )

    def __call__(self, record: RequestRecord, *, kept: bool) -> None:
        if record.error:
            self.errors.labels(record.error).inc()
        if record.model not in self._models:
            return
        series = self._of(record.model, record.tier if record.tier in self._tiers else OTHER)
        series.ended[record.outcome].inc()
        legs = record.legs
        if not legs:
            return
        exemplar = {"trace_id": record.trace_id} if kept else None
        first, prompt, cached, generated, _ = record.totals
        series.prompt.inc(prompt)
        series.cached.inc(cached)
        series.completion.inc(generated)
        if first is not None:
            series.first_token.observe(first - record.begun, exemplar)
            last = max(leg.last or first for leg in legs)
            if len(legs) == 1 and generated > 1:
                series.per_token.observe(max(0.0, last - first) / (generated - 1), exemplar)
        if record.outcome is Outcome.OK:
            series.whole.observe(record.seconds, exemplar)
        for leg in legs:
            _parts(series, leg)
        if len(legs) > 1:
            _pauses(series, legs)

    def _of(self, model: str, tier: str) -> _Series:
        series = self._series.get((model, tier))
        if series is None:
            series = self._series[model, tier] = _Series(self, model, tier)
        return series


def _parts(series: _Series, leg: Leg) -> None:
    if leg.scheduled is None:
        return
    if leg.queued is not None:
        series.queue.observe(max(0.0, leg.scheduled - leg.queued))
    if leg.first is not None:
        series.prefill.observe(max(0.0, leg.first - leg.scheduled))


def _pauses(series: _Series, legs: Any) -> None:
    """Attempts at one choice share its journal."""
    lost: dict[int, float] = {}
    for leg in legs:
        since = lost.pop(id(leg.tokens), None)
        if leg.heard is not None and since is not None:
            series.pause.observe(max(0.0, leg.heard - since))
        elif since is not None:
            lost[id(leg.tokens)] = since
        if leg.end == "lost" and leg.last is not None:
            lost[id(leg.tokens)] = leg.last

"""Time between tokens, counted where it costs next to nothing: once for each step of an engine, for all streams in it."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.telemetry.request_metrics import PER_TOKEN

BOUNDS = (*PER_TOKEN, float("inf"))


class _Counts:
    """One model's histogram. Only the event loop writes; a scrape reads it between two steps."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * len(BOUNDS)
        self.total = 0.0

    def add(self, seconds: float, streams: int) -> None:
        """So many streams got a token, as long after the one before."""
        self.buckets[bisect_left(PER_TOKEN, seconds)] += streams
        self.total += seconds * streams


class StepMetrics(Collector):
    """`sluice_inter_token_seconds`: what `Histogram.observe` for each token would give, for a hundredth of the work."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: dict[str, _Counts] = {}
        registry.register(self)

    def of(self, model: str) -> Callable[[float, int], None]:
        return self._models.setdefault(model, _Counts()).add

    def cumulative(self, model: str) -> list[tuple[float, float]]:
        """(bound in seconds, gaps at most that long), the last bound infinite."""
        counts = self._models.get(model)
        return [] if counts is None else list(zip(BOUNDS, map(float, accumulate(counts.buckets)), strict=True))

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "sluice_inter_token_seconds",
            "Between two tokens of a stream, as its engine's messages came.",
            labels=["model"],
        )
        for model, counts in self._models.items():
            buckets = zip(map(floatToGoString, BOUNDS), accumulate(counts.buckets), strict=True)
            family.add_metric([model], [(bound, float(count)) for bound, count in buckets], counts.total)
        yield family

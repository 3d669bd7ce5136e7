"""The last quarter of an hour as the console's charts draw it: one point for each model every two seconds. Bounded."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gateway.telemetry.record import Outcome, RequestRecord

STEP_S: Final = 2.0
POINTS: Final = 450
MOST_PER_STEP: Final = 1000
SERIES: Final = (
    "requests_s",
    "errors_s",
    "prompt_tokens_s",
    "output_tokens_s",
    "running",
    "waiting",
    "first_token_p50",
    "first_token_p95",
    "inter_token_p50",
    "inter_token_p95",
    "kv_use",
)


class Gauges(NamedTuple):
    """A model at this moment. `gaps`: how many gaps between tokens, since the start, were at most as long as each bound (seconds),
    the last being infinite.
    """

    running: int
    waiting: int
    kv_use: float
    gaps: Sequence[tuple[float, float]]


@dataclass
class _Step:
    """What ended since the last point."""

    ended: int = 0
    failed: int = 0
    prompt: int = 0
    first_tokens: list[float] = field(default_factory=list)


class History:
    """`ended` is told of every request, `tick` is called every STEP_S. Points are numbered from 1."""

    def __init__(self, read: Callable[[], Mapping[str, Gauges]]) -> None:
        self._read = read
        self._steps: dict[str, _Step] = {}
        self._gaps: dict[str, Sequence[tuple[float, float]]] = {}
        self._points: deque[tuple[float, dict[str, list[float | None]]]] = deque(maxlen=POINTS)
        self._last: float | None = None
        self.number = 0

    def ended(self, record: RequestRecord) -> None:
        step = self._steps.get(record.model)
        if step is None:
            step = self._steps[record.model] = _Step()
        step.ended += 1
        step.failed += record.outcome not in (Outcome.OK, Outcome.GONE)
        totals = record.totals
        step.prompt += totals.prompt_tokens
        if (first := totals.first_token) is not None and len(step.first_tokens) < MOST_PER_STEP:
            step.first_tokens.append(first - record.begun)

    def tick(self, now: float, at: float) -> None:
        """`now` of the monotonic clock, `at` since the epoch, both in seconds."""
        passed = STEP_S if self._last is None else max(1e-3, now - self._last)
        self._last = now
        readings = self._read()
        self._points.append((at, {model: self._point(model, gauges, passed) for model, gauges in readings.items()}))
        self._steps.clear()
        self.number += 1

    def since(self, number: int) -> dict[str, Any]:
        """Points after that number, all of them if it is another gateway's. Columns, for they are half as long as rows."""
        missing = self.number - number
        points = list(self._points)[-missing:] if 0 <= missing < len(self._points) else list(self._points)
        points = points if missing else []
        models = sorted({model for _, by_model in points for model in by_model})
        empty = [None] * len(SERIES)
        return {
            "number": self.number,
            "step_s": STEP_S,
            "points": POINTS,
            "at": [round(at, 2) for at, _ in points],
            "models": {
                model: {
                    name: [by_model.get(model, empty)[place] for _, by_model in points]
                    for place, name in enumerate(SERIES)
                }
                for model in models
            },
        }

    def _point(self, model: str, gauges: Gauges, passed: float) -> list[float | None]:
        step = self._steps.get(model) or _Step()
        gaps = between(self._gaps.get(model, ()), gauges.gaps)
        self._gaps[model] = gauges.gaps
        tokens = (gaps[-1][1] if gaps else 0.0) + len(step.first_tokens)
        first = sorted(step.first_tokens)
        return [
            round(step.ended / passed, 3),
            round(step.failed / passed, 3),
            round(step.prompt / passed, 2),
            round(tokens / passed, 2),
            gauges.running,
            gauges.waiting,
            _rank(first, 0.5),
            _rank(first, 0.95),
            quantile(gaps, 0.5),
            quantile(gaps, 0.95),
            round(gauges.kv_use, 4),
        ]


def between(before: Sequence[tuple[float, float]], after: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Two cumulative histograms' difference; all of `after` where there was none before, or it has begun anew."""
    if len(before) != len(after) or (before and before[-1][1] > after[-1][1]):
        return list(after)
    return [(bound, late - early) for (bound, late), (_, early) in zip(after, before, strict=True)]


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """Of a cumulative histogram, linear within a bucket as Prometheus' histogram_quantile has it; None if it is empty. What is
    beyond the last finite bound counts as that bound.
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    wanted, low, below = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return low
            return round(low + (bound - low) * (wanted - below) / ((count - below) or 1.0), 6)
        low, below = bound, count
    return low


def _rank(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 5) if ordered else None

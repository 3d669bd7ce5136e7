"""Records → what happened in each span of time. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from loadtests.arithmetic import percentile
from loadtests.suite.record import Outcome, Record


class Window(msgspec.Struct, frozen=True):
    """One span; `at` in seconds since the run's begin. Counts and latencies are of requests that ended in it, but for `in_flight`
    (mean) and `tokens_per_s`, in which a stream counts for as long as it ran. Latencies in ms; NaN where nothing ended.
    """

    at: float
    right: int
    failed: int
    refused: int
    left: int
    in_flight: float
    tokens_per_s: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    gap_p50_ms: float
    gap_p99_ms: float
    queue_p99_ms: float
    e2e_p50_ms: float
    e2e_p99_ms: float


def windows(records: Iterable[Record], begin: float, end: float, width: float) -> list[Window]:
    """`begin` and `end` in Unix time; whole windows of `width` seconds only."""
    count = max(0, int((end - begin) / width))
    ended: list[list[Record]] = [[] for _ in range(count)]
    busy, tokens = [0.0] * count, [0.0] * count
    for record in records:
        last = (record.ended - begin) / width
        if 0 <= last < count:
            ended[int(last)].append(record)
        _spread(1.0, record.at + record.sent_s, record.ended, begin, width, busy)
        if record.tokens:
            _spread(record.tokens, record.at + (record.ttft_s or 0.0), record.ended, begin, width, tokens, share=True)
    return [_window(place * width, ended[place], busy[place] / width, tokens[place] / width) for place in range(count)]


def _spread(
    amount: float, start: float, stop: float, begin: float, width: float, into: list[float], *, share: bool = False
) -> None:
    """Adds amount x overlap to each window; with `share`, overlap is a part of the whole instead of seconds."""
    length = max(stop - start, 1e-6)
    for place in range(max(0, int((start - begin) // width)), min(len(into), int((stop - begin) // width) + 1)):
        left = begin + place * width
        overlap = min(stop, left + width) - max(start, left)
        into[place] += amount * max(0.0, overlap) / (length if share else 1.0)


def _window(at: float, ended: Sequence[Record], in_flight: float, tokens_per_s: float) -> Window:
    right = [one for one in ended if one.outcome is Outcome.RIGHT]
    judged = [one for one in right if one.judged]
    ttft = [one.ttft_s * 1e3 for one in judged if one.ttft_s is not None]
    gaps = [gap * 1e3 for one in judged for gap in one.gaps_s]
    queue = [one.queue_s * 1e3 for one in right if one.queue_s is not None]
    e2e = [one.e2e_s * 1e3 for one in judged]
    return Window(
        at=at,
        right=len(right),
        failed=_count(ended, Outcome.FAILED),
        refused=_count(ended, Outcome.REFUSED),
        left=_count(ended, Outcome.LEFT),
        in_flight=in_flight,
        tokens_per_s=tokens_per_s,
        ttft_p50_ms=percentile(ttft, 0.5),
        ttft_p99_ms=percentile(ttft, 0.99),
        gap_p50_ms=percentile(gaps, 0.5),
        gap_p99_ms=percentile(gaps, 0.99),
        queue_p99_ms=percentile(queue, 0.99),
        e2e_p50_ms=percentile(e2e, 0.5),
        e2e_p99_ms=percentile(e2e, 0.99),
    )


def _count(records: Iterable[Record], outcome: Outcome) -> int:
    return sum(record.outcome is outcome for record in records)
